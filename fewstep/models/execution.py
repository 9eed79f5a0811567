"""How a network runs on its device: precision, memory layout, compilation. What does it is `fewstep.models.prepare`."""

from dataclasses import dataclass, fields
from typing import Any

from fewstep.errors import InvalidModel, UnknownName

__all__ = ["DTYPES", "MODES", "Execution"]

DTYPES = ("float32", "bfloat16", "float16")
MODES = ("default", "reduce-overhead", "max-autotune")  # of torch.compile


@dataclass(frozen=True)
class Execution:
    """How a network runs; the samples on their way stay float32, whatever the network computes in.

    ``dtype``: the network's precision, one of `DTYPES`; None: that of its weights. ``channels_last``: whether
    convolutions work on tensors whose channels lie next to one another; None: on a CPU, where they are a fifth faster
    so. ``compile``: a mode of torch.compile, one of `MODES`; None: the network is not compiled.

    Raises `UnknownName` or `InvalidModel` for another value.

    >>> Execution(dtype="bfloat16", compile="default").to_dict()
    {'dtype': 'bfloat16', 'compile': 'default'}
    """

    dtype: str | None = None
    channels_last: bool | None = None
    compile: str | None = None

    def __post_init__(self) -> None:
        for name, value, known in (("dtype", self.dtype, DTYPES), ("compile", self.compile, MODES)):
            if value is not None and (not isinstance(value, str) or value not in known):
                raise UnknownName(f"{name} of an execution", str(value)[:80], known)
        if self.channels_last is not None and not isinstance(self.channels_last, bool):
            raise InvalidModel(f"channels_last of an execution is true or false, got {str(self.channels_last)[:80]!r}")

    def to_dict(self) -> dict[str, Any]:
        """The fields that differ from their defaults, as plain JSON values."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value != getattr(Execution, name)}

    @classmethod
    def from_dict(cls, data: Any) -> "Execution":
        """The execution that `to_dict` described; raises `InvalidModel` where it is none.

        >>> Execution.from_dict({"channels_last": True})
        Execution(dtype=None, channels_last=True, compile=None)
        """
        names = [each.name for each in fields(cls)]
        if not isinstance(data, dict) or not set(data) <= set(names):
            raise InvalidModel(f"an execution is an object with some of {', '.join(names)}; got {str(data)[:80]}")
        return cls(**data)
