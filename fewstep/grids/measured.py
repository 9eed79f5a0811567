"""A time grid measured on a model, as the JSON document of ``fewstep grid`` and of the service."""

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from fewstep.checks import number
from fewstep.errors import InvalidInput
from fewstep.grids.arc_length import BLEND, ArcLength

__all__ = ["FORMAT", "VERSION", "MeasuredGrid"]

FORMAT = "fewstep.grid"
VERSION = 1


@dataclass(frozen=True, eq=False)
class MeasuredGrid:
    """The ``times`` (nfe + 1,) of ``nfe`` calls, even in the blended length of the ``curve`` of a ``model``.

    Raises `InvalidInput` where they do not fit.

    >>> import numpy as np
    >>> from fewstep import processes
    >>> curve = ArcLength(processes.Flow(), "corrector", np.linspace(-5, 5, 101), np.linspace(0, 2, 101))
    >>> [round(t, 3) for t in MeasuredGrid.of(curve, "my-model", nfe=4).times]
    [1.0, 0.924, 0.5, 0.076, 0.0]
    """

    model: str
    nfe: int
    blend: float
    times: tuple[float, ...]
    curve: ArcLength

    def __post_init__(self) -> None:
        if type(self.nfe) is not int or not isinstance(self.times, tuple) or len(self.times) != self.nfe + 1:
            raise InvalidInput(
                f"a grid of nfe calls has nfe + 1 times, got nfe {self.nfe!r} and {str(self.times)[:80]}"
            )
        times = tuple(number(f"times[{i}]", time) for i, time in enumerate(self.times))
        if any(after >= before for before, after in pairwise(times)):
            raise InvalidInput(f"the times of a grid fall, got {str(times)[:80]}")
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "blend", number("blend", self.blend))

    @classmethod
    def of(cls, curve: ArcLength, model: str, nfe: int, blend: float = BLEND) -> Self:
        """The grid of ``nfe`` calls; raises `InvalidInput` as `ArcLength.times` does."""
        return cls(model, nfe, blend, curve.times(nfe, blend), curve)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` is the inverse."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "model": self.model,
            "nfe": self.nfe,
            "blend": self.blend,
            "times": list(self.times),
            "curve": self.curve.to_dict(),
        }

    def to_json(self, indent: int | None = None) -> str:
        """The grid as JSON text."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """The grid that `to_dict` described; raises `InvalidInput`."""
        head = (data.get("format"), data.get("version")) if isinstance(data, dict) else type(data).__name__
        if head != (FORMAT, VERSION):
            raise InvalidInput(f'a grid is a JSON object with "format": "{FORMAT}", "version": {VERSION}, got {head}')
        missing = {"model", "nfe", "blend", "times", "curve"} - data.keys()
        if missing:
            raise InvalidInput(f"the grid has no {', '.join(sorted(missing))}; it has {', '.join(map(str, data))}")
        curve = ArcLength.from_dict(data["curve"])
        times = tuple(data["times"]) if isinstance(data["times"], list) else data["times"]
        return cls(str(data["model"]), data["nfe"], data["blend"], times, curve)
