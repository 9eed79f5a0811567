"""Regressors with predictive standard deviations: extremely randomised trees and a Gaussian process.

Both fit several targets at once: ``fit(x, y, seed, size)`` takes features ``x`` (n, F) and targets ``y`` (n, T) and
returns a function from features (M, F) to the mean and the standard deviation of each target, both (M, T); ``size`` is
that of an ensemble.

The Gaussian process has the kernel k(x, x') = x·x'/F + Matérn_{5/2}(|x − x'|/(ℓ√F)) on standardised features: a linear
trend, which extrapolates beyond the trials, and a smooth correction. ℓ and the noise are the pair of a
small table with the highest likelihood, amplitude profiled out (Rasmussen and Williams 2006, sections 2.7 and 5.4).
"""

from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.gaussian_process.kernels import Matern

__all__ = ["REGRESSORS", "TREES", "Forecast", "Regressor", "gaussian_process", "trees"]

Forecast = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
Regressor = Callable[[np.ndarray, np.ndarray, int, int], Forecast]

TREES = 80
LENGTHS = (0.5, 1.0, 2.0, 4.0)
NOISES = (0.003, 0.03, 0.3)  # variance, relative to that of the correction
COMPARED = 128  # rows that choose ℓ and the noise: enough, and the choice costs n³
TINY = 1e-9
OUTLIER = 4.0  # in standard deviations: features of diverging schedules would swamp the kernel


def trees(x: np.ndarray, y: np.ndarray, seed: int, size: int = TREES) -> Forecast:
    """``size`` extra trees: the mean over the trees and their spread."""
    forest = ExtraTreesRegressor(size, max_features=0.5, random_state=seed, n_jobs=1)
    forest.fit(x, y if y.shape[1] > 1 else y[:, 0])

    def forecast(new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = np.ascontiguousarray(new, dtype=np.float32)  # what sklearn casts to, once instead of once per tree
        each = np.stack([tree.tree_.predict(rows).reshape(len(rows), -1) for tree in forest.estimators_])
        return each.mean(axis=0), each.std(axis=0)

    return forecast


def gaussian_process(x: np.ndarray, y: np.ndarray, seed: int, size: int = 1) -> Forecast:
    """The Gaussian process above; ``seed`` and ``size`` are not used, nothing is random."""
    count, width = x.shape
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale < TINY] = 1.0  # a feature that never varied says nothing about how far it may
    middle, unit = y.mean(axis=0), y.std(axis=0) + TINY

    def standard(rows: np.ndarray) -> np.ndarray:
        result: np.ndarray = np.clip((rows - centre) / scale, -OUTLIER, OUTLIER) / np.sqrt(width)
        return result

    train, targets = standard(x), (y - middle) / unit
    some = np.unique(np.linspace(0, count - 1, COMPARED).astype(int))
    length, noise = max(
        ((length, noise) for length in LENGTHS for noise in NOISES),
        key=_likelihoods(train[some], targets[some]).__getitem__,
    )
    matern = Matern(length, nu=2.5)
    factor = cho_factor(train @ train.T + matern(train) + noise * np.eye(count), lower=True)
    solved = cho_solve(factor, targets)  # (n, T)
    amplitude = np.sqrt(np.mean(targets * solved, axis=0))

    def forecast(new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = standard(new)
        cross = rows @ train.T + matern(rows, train)  # (M, n)
        left = 1.0 + noise + np.sum(rows**2, axis=1) - np.sum(cross * cho_solve(factor, cross.T).T, axis=1)
        spread = np.sqrt(np.maximum(left, noise))[:, None] * amplitude
        return middle + unit * (cross @ solved), unit * spread

    return forecast


def _likelihoods(x: np.ndarray, y: np.ndarray) -> dict[tuple[float, float], float]:
    """Log-likelihood, to a constant, of every pair of `LENGTHS` and `NOISES`, summed over the targets."""
    table = {}
    for length in LENGTHS:
        values, vectors = eigh(x @ x.T + Matern(length, nu=2.5)(x))
        squares = (vectors.T @ y) ** 2  # (n, T)
        for noise in NOISES:
            shifted = np.maximum(values, 0.0) + noise
            amplitudes = np.mean(squares / shifted[:, None], axis=0)
            each = len(x) * np.log(amplitudes + 1e-300) + np.log(shifted).sum()
            table[length, noise] = float(-0.5 * each.sum())
    return table


REGRESSORS: dict[str, Regressor] = {"trees": trees, "gaussian-process": gaussian_process}
