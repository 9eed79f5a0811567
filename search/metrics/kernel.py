"""Kernel distance (squared maximum mean discrepancy) between features, without bias at any number of noises.

    d² = mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(r_i, r_j) − 2 mean_ij k(x_i, r_j)

Being unbiased, it is below zero about as often as above where the laws are equal. Kernels:

- polynomial, k(x, y) = (x·y/F + 1)³: KID (Bińkowski et al. 2018, section 4);
- gaussian, k(x, y) = exp(−|x − y|²/(2 ℓ²)): as in CMMD (Jayasumana et al. 2024, eq. 7); ℓ is the median distance
  between reference rows unless it is given.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from scipy.spatial.distance import cdist, pdist

from fewstep.errors import InvalidInput
from fewstep.search.metrics.base import checked
from fewstep.search.metrics.features import Features, rows_of
from fewstep.search.metrics.reference import Reference

__all__ = ["Kernel", "KernelDistance", "gaussian", "median_distance", "polynomial"]

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
class KernelDistance:
    """Unbiased d² of ``features`` to the ``reference``'s rows; without ``kernel`` the Gaussian of median length."""

    features: Features
    reference: Reference
    kernel: Kernel | None = None
    name: ClassVar[str] = "kernel"
    smaller_is_better: ClassVar[bool] = True
    paired: ClassVar[bool] = False

    def observe(self, samples: torch.Tensor, ends: torch.Tensor | None = None) -> np.ndarray:
        """Features (n, F) of samples (n, ...)."""
        return rows_of(self.features, samples)

    def values(self, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """d² (B,) of rows (n, F) taken ``counts`` (B, n) times; raises `InvalidInput` for fewer than two rows.

        Pairs of a row with its own copy are left out, else resamples would look better spread than samples are.
        """
        kernel, known, own = self._prepared
        rows, counts = checked(rows, fewest=2, width=known.shape[1]), np.asarray(counts, np.float64)
        within = kernel(rows, rows)
        np.fill_diagonal(within, 0.0)
        across = sum(kernel(rows, part).sum(axis=1) for part in _blocks(known)) / len(known)  # (n,)
        total = counts.sum(axis=1)
        pairs = total**2 - (counts**2).sum(axis=1)
        result: np.ndarray = np.sum(counts @ within * counts, axis=1) / pairs + own - 2 * (counts @ across) / total
        return result

    @cached_property
    def _prepared(self) -> tuple[Kernel, np.ndarray, float]:
        """The kernel, the reference's rows, and the mean kernel of their pairs."""
        known = self.reference.known_rows(self.name)
        kernel = self.kernel or gaussian(median_distance(known))
        total = sum(kernel(part, known).sum() for part in _blocks(known))
        diagonal = sum(float(kernel(row[None], row[None])[0, 0]) for row in known)
        return kernel, known, float((total - diagonal) / (len(known) * (len(known) - 1)))


def _blocks(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[i : i + BLOCK] for i in range(0, len(rows), BLOCK)]
