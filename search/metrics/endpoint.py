"""Endpoint error: root mean square distance between a sample and the teacher's sample from the same noise.

e_n = mean over pixels of (x_n − x*_n)²,   value = √(mean_n e_n),   standard error = se(mean e)/(2·value)
"""

import numpy as np

from fewstep.problem import Score

__all__ = ["ratio_interval", "score", "squared_errors"]

RESAMPLES = 2000


def squared_errors(samples: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """e_n (n,) from ``samples`` and ``targets`` (n, ...)."""
    squares = (samples.astype(np.float64) - targets.astype(np.float64)) ** 2
    return squares.reshape(len(squares), -1).mean(axis=1)  # type: ignore[no-any-return]


def score(errors: np.ndarray, calls: int) -> Score:
    """The score of per-noise squared errors (n,); the standard error comes from the delta method."""
    mean = float(errors.mean())
    value = float(np.sqrt(mean))
    spread = float(errors.std(ddof=1) / np.sqrt(len(errors))) if len(errors) > 1 else 0.0
    return Score(value, spread / (2 * value) if value > 0 else 0.0, len(errors), calls)


def ratio_interval(errors: np.ndarray, baseline: np.ndarray, seed: int) -> tuple[float, float]:
    """Paired bootstrap 95 % interval of √(mean e / mean e_baseline), both (n,) on the same noises."""
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(errors), size=(RESAMPLES, len(errors)))
    ratios = np.sqrt(errors[picks].mean(axis=1) / baseline[picks].mean(axis=1))
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(low), float(high)
