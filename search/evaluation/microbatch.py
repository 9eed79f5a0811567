"""Micro-batching wrapper; each sample keeps its own condition.

A set of samples may be larger than the device has memory for.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Self, TypeVar

import torch

from fewstep.models import Denoiser, Wrapped

__all__ = ["Beat", "Chunked", "Limit", "default_batch"]

NUMBERS = 2**20  # in the states of one call; fixed, so that results do not depend on the machine
T = TypeVar("T")

Beat = Callable[[float], None]
"""``beat(seconds)`` after every call of the network, with what it took: a sign of life of whoever calls."""


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
    beat: Beat | None = None

    def called(self, denoiser: Denoiser, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The denoiser's answer, after which there is a sign of life."""
        if self.beat is None:
            return denoiser(x, t)
        began = time.monotonic()
        answer = denoiser(x, t)
        self.beat(time.monotonic() - began)
        return answer

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
class Chunked(Wrapped):
    """Calls ``denoiser`` on at most ``limit`` samples at a time; sample i runs under condition ``indices[i]``.

    The denoiser inside is bound anew for each part, to the part's own conditions.
    """

    indices: Sequence[int]
    limit: Limit

    def bound(self, conditions: Sequence[int]) -> Self:
        """The same for samples under other conditions."""
        return replace(self, indices=conditions) if self.conditions else self

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """E[x_0 | x_t = x] for ``x`` (B, ...) and ``t`` (B,), B the number of indices."""
        return self.limit.within(lambda batch: self._by(batch, x, t))

    def _by(self, batch: int, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        if len(x) <= batch:
            return self.limit.called(self.denoiser.bound(self.indices), x, t)
        parts = [slice(first, first + batch) for first in range(0, len(x), batch)]
        return torch.cat(
            [self.limit.called(self.denoiser.bound(self.indices[part]), x[part], t[part]) for part in parts]
        )
