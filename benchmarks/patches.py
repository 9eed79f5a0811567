"""A mixture of natural image patches, 3×16×16: an exact denoiser in 768 dimensions, fitted at run time from a seed.

Patches of scikit-learn's two sample photographs are clustered; each cluster becomes a Gaussian with its mean, its
leading directions and one variance for all the others.
"""

from functools import cache

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_sample_images

from fewstep import models, processes

__all__ = ["SHAPE", "patches", "mixture"]

SHAPE = (3, 16, 16)
PATCHES, COMPONENTS, DIRECTIONS, SEED = 12_000, 6, 48, 0


def patches(count: int = PATCHES, seed: int = SEED) -> np.ndarray:
    """Patches (count, 768) in [−1, 1], float64, from places drawn at random."""
    rng = np.random.default_rng(seed)
    images = [image / 127.5 - 1 for image in load_sample_images().images]
    rows = np.empty((count, *SHAPE))
    for i in range(count):
        image = images[rng.integers(len(images))]
        row, column = rng.integers(image.shape[0] - 16), rng.integers(image.shape[1] - 16)
        rows[i] = image[row : row + 16, column : column + 16].transpose(2, 0, 1)
    return rows.reshape(count, -1)


@cache
def mixture() -> models.GaussianMixture:
    """The mixture under VP-linear noise."""
    data = patches()
    labels = KMeans(COMPONENTS, n_init=1, random_state=SEED).fit_predict(data)
    means, covariances = [], []
    for k in range(COMPONENTS):
        cluster = data[labels == k]
        values, vectors = np.linalg.eigh(np.cov(cluster.T))
        values[:-DIRECTIONS] = values[:-DIRECTIONS].mean()
        means.append(cluster.mean(0))
        covariances.append((vectors * values) @ vectors.T)
    weights = torch.tensor(np.bincount(labels, minlength=COMPONENTS) / len(labels))
    return models.GaussianMixture(
        processes.VPLinear(), weights, torch.tensor(np.array(means)), torch.tensor(np.array(covariances))
    )
