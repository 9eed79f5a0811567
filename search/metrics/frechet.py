"""Fréchet distance between Gaussians of the same mean and covariance as the features (Heusel et al. 2017, eq. 6).

    d² = |μ − μ_r|² + tr(C + C_r − 2 (C_r^½ C C_r^½)^½)

The last trace is the sum of the singular values of Y, where YᵀY = C_r^½ C C_r^½ and Y = (x − μ) C_r^½/√(n−1) is known
from the features: no root of a matrix that rounding made indefinite, and no trouble with fewer noises than features.

**Bias.** μ and C are estimated from n noises, so that d² is positive for equal laws, to first order by

    (Σ_i v_i + Σ_ij (1 + δ_ij) v_i v_j/(2 (v_i + v_j)))/n,   v the eigenvalues of C;   F/n + F (F + 1)/(4 n) for C = 1.

Values are only comparable at equal n; between schedules on the same noises most of it cancels. `kernel` has no bias.
Below 2 F noises C is nearly singular or singular, and a value says more about n than about samples: it ranks, but is
not to be shown.

Against the teacher's samples of the same noises, with features y of mean ν and covariance E, there is no root to know
beforehand: tr (C^½ E C^½)^½ is the nuclear norm of Y Zᵀ, where YᵀY = C and ZᵀZ = E.

| symbol | meaning | shape |
|---|---|---|
| μ, C | of the samples' features | (F,), (F, F) |
| μ_r, C_r | of the reference | (F,), (F, F) |
"""

from dataclasses import dataclass

import numpy as np
import torch

from fewstep.errors import InvalidInput
from fewstep.search.metrics.base import checked
from fewstep.search.metrics.distance import Distance
from fewstep.search.metrics.features import pixels
from fewstep.search.metrics.moments import Moments
from fewstep.search.metrics.reference import Reference, from_rows

__all__ = ["Frechet", "between", "distance"]


@dataclass(frozen=True, eq=False)
class Frechet(Distance):
    """Squared Fréchet distance with unbiased covariances, in squared features.

    >>> rows = np.random.default_rng(0).normal(size=(500, 2))
    >>> round(Frechet(pixels, lambda: from_rows(rows)).value(rows + [3.0, 0.0]), 6)
    9.0
    """

    def fewest(self, width: int) -> int:
        """Twice as many noises as features have dimensions.

        >>> Frechet(pixels, lambda: from_rows(np.eye(3))).fewest(width=3)
        6
        """
        return 2 * self.dimensions(width)

    def to_data_set(self, observations: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """d² (B,) of features (n, F); raises `InvalidInput` for fewer than two noises."""
        reference = self.statistics
        moved = checked(observations, fewest=2, width=len(reference.mean)) - reference.mean
        rooted = moved @ reference.root
        trace = np.trace(reference.covariance)
        return np.array([_to_moments(moved, rooted, trace, np.asarray(row, np.float64)) for row in counts])

    def to_teacher(self, samples: np.ndarray, targets: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """d² (B,) of features (n, F) of samples and of the teacher's."""
        return np.array([_to_rows(samples, targets, row) for row in counts])


def _to_moments(moved: np.ndarray, rooted: np.ndarray, trace: float, counts: np.ndarray) -> float:
    """d² of features less μ_r (n, F); ``rooted`` (n, F) are the same times C_r^½, ``trace`` is that of C_r."""
    there = counts > 0
    moved, rooted, weights = moved[there], rooted[there], counts[there]
    degrees = max(weights.sum() - 1, 1.0)
    mean = weights @ moved / weights.sum()
    variance = weights @ np.sum((moved - mean) ** 2, axis=1) / degrees
    scaled = np.sqrt(weights / degrees)[:, None] * (rooted - weights @ rooted / weights.sum())  # Y
    gram = scaled.T @ scaled if len(scaled) >= scaled.shape[1] else scaled @ scaled.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0.0)).sum()
    return float(max(mean @ mean + variance + trace - 2 * cross, 0.0))


def _to_rows(first: np.ndarray, second: np.ndarray, counts: np.ndarray) -> float:
    """d² of two sets of features (n, F)."""
    there = counts > 0
    weights = counts[there].astype(float)
    means, scaled = [], []
    for rows in (first[there], second[there]):
        means.append(weights @ rows / weights.sum())
        scaled.append((rows - means[-1]) * np.sqrt(weights / max(weights.sum() - 1, 1.0))[:, None])  # Y, Z
    step = means[0] - means[1]
    spread = sum(float((part**2).sum()) for part in scaled)
    if len(weights) > first.shape[1]:  # factors that are no larger than the covariances
        scaled = [np.linalg.qr(part, mode="r") for part in scaled]
    cross = np.linalg.svd(scaled[0] @ scaled[1].T, compute_uv=False).sum()
    return float(max(step @ step + spread - 2 * cross, 0.0))


def distance(moments: Moments, reference: Reference) -> float:
    """d² of streamed moments, for more images than features can be kept of; raises `InvalidInput` below two images."""
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
    rows, others = (features.cpu().double().numpy() for features in (first, second))
    return Frechet(pixels, lambda: from_rows(others)).value(rows)
