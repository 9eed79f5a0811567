"""Distances between samples and the teacher's samples of the very same noises: what both owe to the noises cancels.

A distance between n samples and a data set is mostly noise where n is small: which noises were drawn moves it more than
the schedule does. Here the reference is drawn from the same noises, so it is zero for the teacher itself at any n, and
ranks schedules as a distance on many more noises does (Kendall's τ with 4096 noises: 0.84 and 0.88 on 32, where the
Fréchet distance to the data has 0.38 and 0.69; digits-mixture, 57 schedules of 5 calls, two sets of noises).

| metric | value |
|---|---|
| ``frechet`` | abs(μ − ν)² + tr(C + E) − 2 tr((C^½ E C^½)^½), the last trace from one product of the rows |
| ``kid``, ``cmmd`` | mean over i ≠ j of k(x_i, x_j) + k(y_i, y_j) − k(x_i, y_j) − k(y_i, x_j) (Gretton 2012, eq. 4) |
| ``wasserstein`` | sliced Wasserstein distance of the two sets |

Rows (n, 2 F) are the features x of a sample and y of the teacher's, side by side; a resample takes both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from fewstep.errors import InvalidInput, UnknownName
from fewstep.search.metrics.base import checked
from fewstep.search.metrics.features import Features, pixels, rows_of
from fewstep.search.metrics.kernel import Kernel, gaussian, median_distance, polynomial
from fewstep.search.metrics.wasserstein import directions, sorted_distance

__all__ = ["Coupled"]

DIRECTIONS, SEED = 64, 0


@dataclass(frozen=True, eq=False)
class Coupled:
    """The ``metric`` of that name (all but "endpoint") between samples and the teacher's, as ``features`` see them.

    Raises `UnknownName`.

    >>> rows = np.random.default_rng(0).normal(size=(9, 2))
    >>> float(Coupled("frechet").values(np.hstack([rows, rows]), np.ones((1, 9), dtype=int))[0].round(12))
    0.0
    """

    metric: str
    features: Features = pixels
    smaller_is_better: ClassVar[bool] = True
    paired: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.metric not in VALUES:
            raise UnknownName("metric", self.metric, VALUES)

    @property
    def name(self) -> str:
        """The metric's own."""
        return self.metric

    def observe(self, samples: torch.Tensor, ends: torch.Tensor | None) -> np.ndarray:
        """Features (n, 2 F) of samples and of the teacher's ends (n, ...); raises `InvalidInput` without these."""
        if ends is None:
            raise InvalidInput(f"this {self.metric} compares with the teacher's samples of the same noises, got none")
        return np.hstack([rows_of(self.features, samples), rows_of(self.features, ends)])

    def values(self, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Values (B,) of rows (n, 2 F) taken ``counts`` (B, n) times, whole numbers; raises `InvalidInput`."""
        rows = checked(rows, fewest=2)
        if rows.shape[1] % 2:
            raise InvalidInput(f"rows hold the features of two samples each, got {rows.shape[1]} numbers")
        own, taught = np.hsplit(rows, 2)
        return VALUES[self.metric](own, taught, np.asarray(counts))


def _frechet(first: np.ndarray, second: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.array([_distance(first, second, row) for row in counts])


def _distance(first: np.ndarray, second: np.ndarray, counts: np.ndarray) -> float:
    there = counts > 0
    weights = counts[there].astype(float)
    means, scaled = [], []
    for rows in (first[there], second[there]):
        means.append(weights @ rows / weights.sum())
        scaled.append((rows - means[-1]) * np.sqrt(weights / max(weights.sum() - 1, 1.0))[:, None])  # YᵀY = C
    step, spread = means[0] - means[1], sum(float((part**2).sum()) for part in scaled)
    if len(weights) > first.shape[1]:  # the nuclear norm of Y Zᵀ, from factors that are no larger than C
        scaled = [np.linalg.qr(part, mode="r") for part in scaled]
    cross = np.linalg.svd(scaled[0] @ scaled[1].T, compute_uv=False).sum()
    return float(max(step @ step + spread - 2 * cross, 0.0))


def _kernel(first: np.ndarray, second: np.ndarray, counts: np.ndarray, kernel: Kernel) -> np.ndarray:
    across = kernel(first, second)
    mixed = kernel(first, first) + kernel(second, second) - across - across.T
    np.fill_diagonal(mixed, 0.0)
    counts = counts.astype(float)
    pairs = counts.sum(axis=1) ** 2 - (counts**2).sum(axis=1)  # of different noises
    result: np.ndarray = np.sum(counts @ mixed * counts, axis=1) / pairs
    return result


def _wasserstein(first: np.ndarray, second: np.ndarray, counts: np.ndarray) -> np.ndarray:
    seen = directions(first.shape[1], DIRECTIONS, SEED)
    both = first @ seen, second @ seen
    return np.array([sorted_distance(*(np.sort(np.repeat(p, row, axis=0), axis=0) for p in both)) for row in counts])


VALUES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "frechet": _frechet,
    "kid": lambda first, second, counts: _kernel(first, second, counts, polynomial),
    "cmmd": lambda first, second, counts: _kernel(first, second, counts, gaussian(median_distance(second))),
    "wasserstein": _wasserstein,
}
