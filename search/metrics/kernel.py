"""Kernel distance (squared maximum mean discrepancy) between features, without bias at any number of noises.

    d² = mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(r_i, r_j) − 2 mean_ij k(x_i, r_j)

Being unbiased, it is below zero about as often as above where the laws are equal. Against the teacher's samples y of
the same noises it is the mean over i ≠ j of k(x_i, x_j) + k(y_i, y_j) − k(x_i, y_j) − k(y_i, x_j) (Gretton et al. 2012,
eq. 4). Kernels:

- polynomial, k(x, y) = (x·y/F + 1)³: KID (Bińkowski et al. 2018, section 4);
- gaussian, k(x, y) = exp(−|x − y|²/(2 ℓ²)): as in CMMD (Jayasumana et al. 2024, eq. 7); ℓ is the median distance
  between the reference's features unless it is given.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from scipy.spatial.distance import cdist, pdist

from fewstep.errors import InvalidInput
from fewstep.search.metrics.base import checked
from fewstep.search.metrics.distance import Distance

__all__ = ["Kernel", "KernelDistance", "gaussian", "kid", "median_distance", "polynomial"]

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]
BLOCK = 2048  # rows of the reference at a time
COMPARED = 1000  # rows that the median distance is taken of


def polynomial(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """KID's kernel (n, m) of rows (n, F) and (m, F).

    >>> polynomial(np.ones((1, 4)), np.ones((1, 4))).tolist()
    [[8.0]]
    """
    result: np.ndarray = (first @ second.T / first.shape[1] + 1) ** 3
    return result


def gaussian(length: float) -> Kernel:
    """The Gaussian kernel of length ``length``, in features; raises `InvalidInput` where it is not positive.

    >>> gaussian(1.0)(np.zeros((1, 2)), np.zeros((1, 2))).tolist()
    [[1.0]]
    """
    if not 0 < length < np.inf:
        raise InvalidInput(f"a Gaussian kernel wants a positive length, got {length}")

    def kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        result: np.ndarray = np.exp(cdist(first, second, "sqeuclidean") / (-2 * length**2))
        return result

    return kernel


def median_distance(rows: np.ndarray) -> float:
    """The median distance between rows (m, F), of at most `COMPARED` spread evenly over them."""
    some = np.unique(np.linspace(0, len(rows) - 1, COMPARED).astype(int))
    return float(np.median(pdist(rows[some])))


@dataclass(frozen=True, eq=False)
class KernelDistance(Distance):
    """Unbiased d² with a kernel; without ``kernel`` the Gaussian one of median length."""

    kernel: Kernel | None = None

    def to_data_set(self, observations: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """d² (B,) of features (n, F); raises `InvalidInput` for fewer than two noises.

        Pairs of a noise with its own copy are left out, else resamples would look better spread than samples are.
        """
        kernel, rows, among = self._prepared
        observations = checked(observations, fewest=2, width=rows.shape[1])
        counts = np.asarray(counts, np.float64)
        within = kernel(observations, observations)
        np.fill_diagonal(within, 0.0)
        across = sum(kernel(observations, part).sum(axis=1) for part in _blocks(rows)) / len(rows)  # (n,)
        total = counts.sum(axis=1)
        pairs = total**2 - (counts**2).sum(axis=1)
        result: np.ndarray = np.sum(counts @ within * counts, axis=1) / pairs + among - 2 * (counts @ across) / total
        return result

    def to_teacher(self, samples: np.ndarray, targets: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """d² (B,) of features (n, F) of samples and of the teacher's, from pairs of different noises."""
        kernel = self.kernel or gaussian(median_distance(targets))
        across = kernel(samples, targets)
        mixed = kernel(samples, samples) + kernel(targets, targets) - across - across.T
        np.fill_diagonal(mixed, 0.0)
        counts = counts.astype(float)
        pairs = counts.sum(axis=1) ** 2 - (counts**2).sum(axis=1)
        result: np.ndarray = np.sum(counts @ mixed * counts, axis=1) / pairs
        return result

    @cached_property
    def _prepared(self) -> tuple[Kernel, np.ndarray, float]:
        """The kernel, the data set's features (m, F), and the mean kernel of their pairs."""
        rows = self.statistics.rows_for("a kernel distance")
        kernel = self.kernel or gaussian(median_distance(rows))
        total = sum(kernel(part, rows).sum() for part in _blocks(rows))
        diagonal = sum(float(kernel(row[None], row[None])[0, 0]) for row in rows)
        return kernel, rows, float((total - diagonal) / (len(rows) * (len(rows) - 1)))


kid = partial(KernelDistance, kernel=polynomial)  # the metric of that name


def _blocks(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[i : i + BLOCK] for i in range(0, len(rows), BLOCK)]
