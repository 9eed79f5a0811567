"""Calibration of the forecasts: their standard deviations are scaled so that 80 % intervals hold in 80 % of cases.

Split conformal prediction (Vovk et al. 2005; Lei et al. 2018) on out-of-fold residuals: each trial is forecast from the
other folds, and the scale is the 80 % quantile of |residual|/std over that of a normal law. It is computed
anew at `milestone` numbers of trials only: the folds cost several fits, and a quantile does not move with every trial.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import norm

__all__ = ["LEVEL", "FOLDS", "milestone", "scale"]

LEVEL = 0.8  # of the calibrated intervals
FOLDS = 4
GROWTH = 1.5  # from one milestone to the next
CAUTION = 16  # trials that a scale of 1 counts for: the quantile of few residuals is rough


def milestone(count: int, first: int) -> int:
    """The last of ``first``, 1.5 · ``first``, 1.5² · ``first``, … that is at most ``count``; 0 below the first.

    >>> [milestone(count, 16) for count in (15, 16, 23, 24, 100)]
    [0, 16, 16, 24, 81]
    """
    size = float(first)
    while size * GROWTH <= count:
        size *= GROWTH
    return int(size) if count >= first else 0


def scale(
    forecast: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]], targets: np.ndarray, seed: int
) -> float:
    """The factor on standard deviations; ``forecast(train, test)`` maps indices to means and deviations of ``test``."""
    ratios = np.zeros(len(targets))
    for fold in np.array_split(np.random.default_rng(seed).permutation(len(targets)), FOLDS):
        mean, std = forecast(np.setdiff1d(np.arange(len(targets)), fold), fold)
        ratios[fold] = np.abs(targets[fold] - mean) / std
    rank = min(int(np.ceil((len(targets) + 1) * LEVEL)), len(targets))  # the quantile that is valid for a new trial
    raw = np.sort(ratios)[rank - 1] / norm.ppf(0.5 + LEVEL / 2)
    trust = len(targets) / (len(targets) + CAUTION)
    return float(np.exp(trust * np.log(max(raw, np.finfo(float).tiny))))
