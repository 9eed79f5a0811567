"""Sliced Wasserstein distance: features projected onto many directions, where optimal transport is sorting.

    d = √( mean_u ∫_0^1 (F_u^{-1}(q) − R_u^{-1}(q))² dq ),   u on the unit sphere      (Bonneel et al. 2015)

Quantile functions of n samples and m references are steps; the integral runs over the joint steps and is exact. Like
every distance between samples it is positive for equal laws, by an amount that falls with n: compare at equal n.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fewstep.search.metrics.base import checked
from fewstep.search.metrics.distance import Distance

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
class SlicedWasserstein(Distance):
    """d along ``count`` seeded directions, in features."""

    count: int = 64
    seed: int = 0

    def to_data_set(self, observations: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """d (B,) of features (n, F); raises `InvalidInput` where they are of another width than the data set's."""
        along, placed = self._prepared
        projected = checked(observations, width=len(along)) @ along  # (n, U)
        return np.array([sorted_distance(_resampled(projected, row), placed) for row in counts])

    def to_teacher(self, samples: np.ndarray, targets: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """d (B,) of features (n, F) of samples and of the teacher's."""
        along = directions(samples.shape[1], self.count, self.seed)
        first, second = samples @ along, targets @ along
        return np.array([sorted_distance(_resampled(first, row), _resampled(second, row)) for row in counts])

    @cached_property
    def _prepared(self) -> tuple[np.ndarray, np.ndarray]:
        """The directions (F, U), and the data set's features along them, sorted (m, U)."""
        rows = self.statistics.rows_for("a Wasserstein distance")
        along = directions(rows.shape[1], self.count, self.seed)
        return along, np.sort(rows @ along, axis=0)


def _resampled(projected: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Projections (n, U) taken ``counts`` (n,) times, sorted along each direction."""
    return np.sort(np.repeat(projected, counts, axis=0), axis=0)


def sorted_distance(first: np.ndarray, second: np.ndarray) -> float:
    """d of sorted projections (n, U) and (m, U): both are constant between the joint steps i/n and j/m."""
    n, m = len(first), len(second)
    steps = np.unique(np.concatenate([np.arange(n + 1) * m, np.arange(m + 1) * n]))  # in units of 1/(n m)
    squares = (first[steps[:-1] // m] - second[steps[:-1] // n]) ** 2
    return float(np.sqrt((np.diff(steps) / (n * m)) @ squares.mean(axis=1)))
