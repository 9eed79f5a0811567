"""Micro-batching wrapper; each sample keeps its own condition.

A set of samples may be larger than the device has memory for. It is worked off in parts, and where the device runs out
of memory, the part that failed is halved until it fits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Self

import torch

from fewstep.models import Wrapped
from fewstep.search.limit import Limit

__all__ = ["Chunked", "default_batch"]

NUMBERS = 2**20  # in the states of one call; fixed, so that results do not depend on the machine


def default_batch(shape: Sequence[int]) -> int:
    """How many samples of ``shape`` a call takes.

    >>> default_batch((4, 64, 64))
    64
    """
    return max(NUMBERS // prod(shape), 1)


@dataclass(frozen=True)
class Chunked(Wrapped):
    """Calls ``denoiser`` on at most ``limit`` samples at a time; sample i runs under condition ``indices[i]``.

    The denoiser inside is bound anew for each part, to the part's own conditions. Where a gradient is wanted a lack of
    memory goes up, since the parts before hold their graphs: who wants it takes fewer samples
    (`fewstep.search.optimize.descent`).
    """

    indices: Sequence[int]
    limit: Limit

    def bound(self, conditions: Sequence[int]) -> Self:
        """The same for samples under other conditions."""
        return replace(self, indices=conditions) if self.conditions else self

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """E[x_0 | x_t = x] for ``x`` (B, ...) and ``t`` (B,), B the number of indices."""

        def part(chosen: slice) -> torch.Tensor:
            return self.limit.called(self.denoiser.bound(self.indices[chosen]), x[chosen], t[chosen])

        if torch.is_grad_enabled() and (x.requires_grad or t.requires_grad):
            return _together([part(slice(i, i + self.limit.batch)) for i in range(0, len(x), self.limit.batch)])
        return _together(self.limit.over(len(x), part))


def _together(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts))
