"""A denoiser for a whole set of samples that calls the model on a part at a time, each sample under its condition."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeVar

import torch

from fewstep.models import Denoiser
from fewstep.models.base import bound
from fewstep.processes import Process

__all__ = ["Chunked", "Limit", "default_batch"]

NUMBERS = 2**20  # in the states of one call; fixed, so that results do not depend on the machine
T = TypeVar("T")


def default_batch(shape: Sequence[int]) -> int:
    """How many samples of ``shape`` a call takes.

    >>> default_batch((4, 64, 64))
    64
    """
    return max(NUMBERS // prod(shape), 1)


@dataclass
class Limit:
    """The most samples of a call. Where the device has no memory for them it is halved, once."""

    batch: int
    halved: bool = False

    def within(self, run: Callable[[int], T]) -> T:
        """``run(batch)``; once more with half of it where the device runs out of memory for the first time."""
        try:
            return run(self.batch)
        except torch.OutOfMemoryError:
            if self.halved or self.batch == 1:
                raise
        self.batch, self.halved = self.batch // 2, True
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return run(self.batch)


@dataclass(frozen=True)
class Chunked:
    """``denoiser`` on samples that run under the conditions ``indices``, at most ``limit`` of them in a call."""

    denoiser: Denoiser
    indices: Sequence[int]
    limit: Limit

    @property
    def process(self) -> Process:
        """The denoiser's noise law."""
        return self.denoiser.process

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """E[x_0 | x_t = x] for ``x`` (B, ...) and ``t`` (B,), B the number of indices."""
        return self.limit.within(lambda batch: self._by(batch, x, t))

    def _by(self, batch: int, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        if len(x) <= batch:
            return bound(self.denoiser, self.indices)(x, t)
        ends = range(0, len(x), batch)
        parts = [bound(self.denoiser, self.indices[i : i + batch])(x[i : i + batch], t[i : i + batch]) for i in ends]
        return torch.cat(parts)
