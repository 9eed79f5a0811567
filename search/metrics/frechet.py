"""Fréchet distance between Gaussians of the same mean and covariance as the features (Heusel et al. 2017, eq. 6).

    d² = |μ − μ_r|² + tr(C + C_r − 2 (C_r^½ C C_r^½)^½)

The last trace is the sum of the singular values of Y, where YᵀY = C_r^½ C C_r^½ and Y = (x − μ) C_r^½/√(n−1) is known
from the features: no root of a matrix that rounding made indefinite, and no trouble with fewer noises than features.

**Bias.** μ and C are estimated from n noises, so that d² is positive for equal laws, to first order by

    (Σ_i v_i + Σ_ij (1 + δ_ij) v_i v_j/(2 (v_i + v_j)))/n,   v the eigenvalues of C;   F/n + F (F + 1)/(4 n) for C = 1.

Values are only comparable at equal n; between schedules on the same noises most of it cancels. `kernel` has no bias.

| symbol | meaning | shape |
|---|---|---|
| μ, C | of the samples' features | (F,), (F, F) |
| μ_r, C_r | of the reference | (F,), (F, F) |
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from fewstep.errors import InvalidInput
from fewstep.search.metrics.base import checked
from fewstep.search.metrics.features import Features, pixels, rows_of
from fewstep.search.metrics.moments import Moments
from fewstep.search.metrics.reference import Reference, from_rows

__all__ = ["Frechet", "between", "distance"]


@dataclass(frozen=True, eq=False)
class Frechet:
    """Squared Fréchet distance of ``features`` to the ``reference``, unbiased covariances, in squared features.

    >>> from search.metrics.features import pixels
    >>> from search.metrics.reference import from_rows
    >>> rows = np.random.default_rng(0).normal(size=(500, 2))
    >>> moved = Frechet(pixels, from_rows(rows)).values(rows + [3.0, 0.0], np.ones((1, 500)))
    >>> round(float(moved[0]), 6)
    9.0
    """

    features: Features
    reference: Reference
    name: ClassVar[str] = "frechet"
    smaller_is_better: ClassVar[bool] = True
    paired: ClassVar[bool] = False

    def observe(self, samples: torch.Tensor, ends: torch.Tensor | None = None) -> np.ndarray:
        """Features (n, F) of samples (n, ...)."""
        return rows_of(self.features, samples)

    def values(self, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """d² (B,) of rows (n, F) taken ``counts`` (B, n) times; raises `InvalidInput` for fewer than two rows."""
        reference = self.reference
        rows = checked(rows, fewest=2, width=len(reference.mean)) - reference.mean
        rooted = rows @ reference.root
        trace = np.trace(reference.covariance)
        return np.array([_distance(rows, rooted, trace, np.asarray(row, np.float64)) for row in counts])


def _distance(rows: np.ndarray, rooted: np.ndarray, trace: float, counts: np.ndarray) -> float:
    """d² of rows less μ_r; ``rooted`` (n, F) are the same times C_r^½."""
    there = counts > 0
    rows, rooted, weights = rows[there], rooted[there], counts[there]
    degrees = max(weights.sum() - 1, 1.0)
    mean = weights @ rows / weights.sum()
    variance = weights @ np.sum((rows - mean) ** 2, axis=1) / degrees
    scaled = np.sqrt(weights / degrees)[:, None] * (rooted - weights @ rooted / weights.sum())  # Y
    gram = scaled.T @ scaled if len(scaled) >= scaled.shape[1] else scaled @ scaled.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0.0)).sum()
    return float(max(mean @ mean + variance + trace - 2 * cross, 0.0))


def distance(moments: Moments, reference: Reference) -> float:
    """d² of streamed moments, for more images than features can be kept of; raises `InvalidInput` below two rows."""
    covariance, root = moments.covariance, reference.root
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariance @ root), 0.0)).sum()
    step = moments.mean - reference.mean
    return float(max(step @ step + np.trace(covariance) + np.trace(reference.covariance) - 2 * cross, 0.0))


def between(first: torch.Tensor, second: torch.Tensor) -> float:
    """d² of two feature sets, (n, F) and (m, F), in float64; raises `InvalidInput` where the sets do not fit.

    >>> features = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
    >>> round(between(features, features + 3), 6)
    18.0
    """
    if min(first.ndim, second.ndim) != 2 or first.shape[1] != second.shape[1] or min(len(first), len(second)) < 2:
        raise InvalidInput(
            f"wanted features (n, d) and (m, d) of two samples or more, got {tuple(first.shape)}, {tuple(second.shape)}"
        )
    rows, known = (features.double().cpu().numpy() for features in (first, second))
    return float(Frechet(pixels, from_rows(known)).values(rows, np.ones((1, len(rows))))[0])
