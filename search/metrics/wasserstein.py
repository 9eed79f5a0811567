"""Sliced Wasserstein distance: features seen along many directions, where optimal transport is sorting.

    d = √( mean_u ∫_0^1 (F_u^{-1}(q) − R_u^{-1}(q))² dq ),   u on the unit sphere      (Bonneel et al. 2015)

Quantile functions of n samples and m references are steps; the integral runs over the joint steps and is exact. Like
every distance between samples it is positive for equal laws, by an amount that falls with n: compare at equal n.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch

from fewstep.search.metrics.base import checked
from fewstep.search.metrics.features import Features, rows_of
from fewstep.search.metrics.reference import Reference

__all__ = ["SlicedWasserstein", "directions", "sorted_distance"]


def directions(width: int, count: int, seed: int) -> np.ndarray:
    """Unit vectors (F, count), uniform on the sphere in F = ``width`` dimensions.

    >>> np.linalg.norm(directions(5, 2, seed=0), axis=0).round(12).tolist()
    [1.0, 1.0]
    """
    drawn = np.random.default_rng(seed).normal(size=(width, count))
    unit: np.ndarray = drawn / np.linalg.norm(drawn, axis=0)
    return unit


@dataclass(frozen=True, eq=False)
class SlicedWasserstein:
    """d of ``features`` to the ``reference``'s rows along ``count`` seeded directions, in features."""

    features: Features
    reference: Reference
    count: int = 64
    seed: int = 0
    name: ClassVar[str] = "wasserstein"
    smaller_is_better: ClassVar[bool] = True
    paired: ClassVar[bool] = False

    def observe(self, samples: torch.Tensor, ends: torch.Tensor | None = None) -> np.ndarray:
        """Features (n, F) of samples (n, ...)."""
        return rows_of(self.features, samples)

    def values(self, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """d (B,) of rows (n, F) taken ``counts`` (B, n) times, whole numbers; raises `InvalidInput` for bad rows."""
        seen, known = self._prepared
        projected = checked(rows, width=len(seen)) @ seen  # (n, U)
        return np.array([sorted_distance(np.sort(np.repeat(projected, row, axis=0), axis=0), known) for row in counts])

    @cached_property
    def _prepared(self) -> tuple[np.ndarray, np.ndarray]:
        """The directions (F, U), and the reference's rows along them, sorted (m, U)."""
        known = self.reference.known_rows(self.name)
        seen = directions(known.shape[1], self.count, self.seed)
        return seen, np.sort(known @ seen, axis=0)


def sorted_distance(first: np.ndarray, second: np.ndarray) -> float:
    """d of sorted projections (n, U) and (m, U): both are constant between the joint steps i/n and j/m."""
    n, m = len(first), len(second)
    steps = np.unique(np.concatenate([np.arange(n + 1) * m, np.arange(m + 1) * n]))  # in units of 1/(n m)
    squares = (first[steps[:-1] // m] - second[steps[:-1] // n]) ** 2
    return float(np.sqrt((np.diff(steps) / (n * m)) @ squares.mean(axis=1)))
