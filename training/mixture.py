"""Fit the zoo's `digits-mixture`: a Gaussian mixture on scikit-learn's digits, values scaled to [−1, 1]."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from training.data import digits

__all__ = ["COMPONENTS", "REGULARISATION", "SEED", "fit"]

COMPONENTS = 40
REGULARISATION = 1e-3  # added to every variance: keeps border pixels, which never change, from being singular
SEED = 0


def fit(path: Path, seed: int = SEED) -> None:
    """Fit the mixture and write ``weights`` (K,), ``means`` (K, d), ``covariances`` (K, d, d), float32, to ``path``."""
    mixture = GaussianMixture(COMPONENTS, covariance_type="full", reg_covar=REGULARISATION, random_state=seed)
    with threadpool_limits(1):  # sums in one order on every machine; and the matrices are too small to share
        mixture.fit(digits())
    tables = {"weights": mixture.weights_, "means": mixture.means_, "covariances": mixture.covariances_}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: torch.from_numpy(table).float().contiguous() for name, table in tables.items()}, path)
