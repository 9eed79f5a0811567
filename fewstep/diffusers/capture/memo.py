"""Memory of what a pipeline computes anew in every run though it does not change: encoded prompts, images, positions.

The key is the content of the arguments, with the state of a generator among them; on a hit the generator is left as the
first run left it. Tensors are kept on the CPU when they come from a device, the oldest are dropped.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import torch

__all__ = ["Memory", "content"]

MOST = 256  # results


class Memory:
    """Results of functions by the content of their arguments."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._results: OrderedDict[Any, Any] = OrderedDict()

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        """The result under ``key``, made at the first use."""
        if key not in self._results:
            self._results[key] = make()
            while len(self._results) > self._most:
                self._results.popitem(last=False)
        self._results.move_to_end(key)
        return self._results[key]

    def __len__(self) -> int:
        return len(self._results)

    def remembering(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, which runs once for the same arguments, without gradients."""

        @wraps(function)
        def remembered(*args: Any, **kwargs: Any) -> Any:
            return self.call((function.__qualname__, content((args, kwargs))), function, *args, **kwargs)

        return remembered

    def call(self, key: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """``function(*args, **kwargs)``, run at the first use of ``key``; generators are left as that run left them."""
        generators = [each for each in (*args, *kwargs.values()) if isinstance(each, torch.Generator)]

        def make() -> Any:
            with torch.no_grad():
                result = function(*args, **kwargs)
            states = [generator.get_state() for generator in generators]
            kept = args, kwargs  # so that the identity of an object in the key stays its own
            return _copied(result, torch.device("cpu")), _device(result), states, kept

        result, device, states, _ = self.get(key, make)
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
        return _copied(result, device or torch.device("cpu"))


def content(value: Any) -> Any:
    """A hashable stand-in for the content of ``value``; for an object, such as a text encoder, its identity.

    >>> content([torch.ones(2)]) == content([torch.ones(2)]), content({"a": 1}) == content({"a": 2})
    (True, False)
    """
    if isinstance(value, torch.Generator):
        return content(value.get_state())
    if isinstance(value, torch.Tensor):
        flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return str(value.dtype), tuple(value.shape), hashlib.sha256(flat.numpy().tobytes()).digest()
    if isinstance(value, Mapping):
        return tuple((key, content(value[key])) for key in sorted(value))
    if isinstance(value, list | tuple):
        return tuple(content(each) for each in value)
    if hasattr(value, "tobytes"):  # an image or an array
        return type(value).__name__, hashlib.sha256(value.tobytes()).digest()
    if isinstance(value, torch.dtype | torch.device):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else ("object", id(value))


def _device(value: Any) -> torch.device | None:
    """The device of the first tensor inside, None for the CPU."""
    if isinstance(value, torch.Tensor):
        return value.device if value.device.type != "cpu" else None
    if isinstance(value, list | tuple):
        return next((device for each in value if (device := _device(each)) is not None), None)
    return None


def _copied(value: Any, device: torch.device) -> Any:
    """A copy on ``device``: pipelines change what they get in place."""
    if isinstance(value, torch.Tensor):
        return value.to(device, copy=True)
    if type(value) in (list, tuple):
        return type(value)(_copied(each, device) for each in value)
    return value
