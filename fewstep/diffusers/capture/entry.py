"""How states get into a pipeline's run: each `Entry` is one way, tried in order until the step sees what was put in.

| way | for instance |
|---|---|
| the nth result of ``prepare_latents`` that has the shape | most; the second one of Marigold |
| that of ``prepare_intermediate_images`` | DeepFloyd |
| the argument ``latents`` | where ``prepare_latents`` needs them, as in LTX |
| what ``randn_tensor`` draws | DiT, DDIM, DDPM |
"""

import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from fewstep.diffusers.capture.memo import Memory

__all__ = ["ENTRIES", "Argument", "Drawn", "Entry", "Prepared"]


class Entry(Protocol):
    """A way to put states into a run."""

    @contextmanager
    def enter(self, view: Any, x: torch.Tensor, key: Hashable, memory: Memory) -> Iterator[Mapping[str, Any]]:
        """While it is open, a run of ``view`` starts from ``x`` (B, ...) if it also gets the arguments that are
        yielded; ``key`` names the conditions of the samples."""


@dataclass(frozen=True)
class Prepared:
    """The ``place``-th result of a ``method`` with the shape of the states; the others stay what they are."""

    place: int
    method: str = "prepare_latents"

    @contextmanager
    def enter(self, view: Any, x: torch.Tensor, key: Hashable, memory: Memory) -> Iterator[Mapping[str, Any]]:
        """Replaces the method of ``view``; see `Entry`."""
        prepare: Callable[..., Any] = getattr(type(view), self.method)

        def prepared(*args: Any, **kwargs: Any) -> Any:
            results = memory.call((self.method, key), prepare, view, *args, **kwargs)
            several = list(results) if isinstance(results, tuple) else [results]
            fitting = [i for i, result in enumerate(several) if getattr(result, "shape", None) == x.shape]
            several[fitting[self.place]] = x
            return tuple(several) if isinstance(results, tuple) else several[0]

        vars(view)[self.method] = prepared
        try:
            yield {}
        finally:
            del vars(view)[self.method]


@dataclass(frozen=True)
class Argument:
    """The pipeline's argument ``latents``."""

    @contextmanager
    def enter(self, view: Any, x: torch.Tensor, key: Hashable, memory: Memory) -> Iterator[Mapping[str, Any]]:
        """Gives the argument; see `Entry`."""
        yield {"latents": x}


@dataclass(frozen=True)
class Drawn:
    """What the pipeline's module draws as its start noise."""

    @contextmanager
    def enter(self, view: Any, x: torch.Tensor, key: Hashable, memory: Memory) -> Iterator[Mapping[str, Any]]:
        """Replaces what the module draws of that shape; see `Entry`."""
        module = sys.modules[type(view).__module__]
        draw = module.randn_tensor

        def drawn(shape: Any, *args: Any, **kwargs: Any) -> Any:
            return x if tuple(shape) == tuple(x.shape) else draw(shape, *args, **kwargs)

        vars(module)["randn_tensor"] = drawn
        try:
            yield {}
        finally:
            vars(module)["randn_tensor"] = draw


ENTRIES: tuple[Entry, ...] = (
    Prepared(0),
    Prepared(1),
    Prepared(2),
    Prepared(0, "prepare_intermediate_images"),
    Argument(),
    Drawn(),
)
