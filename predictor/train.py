"""Forecast model of log(score) for schedules of one NFE, fitted to the trials so far.

Without trials it is the prior: physics, and the correction by transfer records (`fewstep.predictor.correction`), if
any. A few trials shift it by their mean deviation; from `ENOUGH` on it is the inverse-variance average of the
regressors of `fewstep.predictor.rankers`, each fitted to log(score) itself and to its deviation from the prior: the
first tells good schedules apart better, the second forecasts schedules unlike any evaluated one. The standard
deviations are scaled by `fewstep.predictor.calibrate`. The correction is then one more feature, no part of the prior:
the trials say what it is worth.
"""

from collections.abc import Callable

import numpy as np

from fewstep.predictor.calibrate import scale as conformal
from fewstep.predictor.dataset import Table
from fewstep.predictor.rankers import REGRESSORS, TREES
from fewstep.values.forecast import Forecasts
from fewstep.values.trial import Trial

__all__ = ["ENOUGH", "Model", "calibrate", "log_score", "train"]

ENOUGH = 16  # trials
PRIOR_STD = 0.3  # of log(score) round physics; 0.18 to 0.25 on the models at hand, with room for others
PRIOR_WEIGHT = 4.0  # trials that the level and the spread of physics count for
FLOOR = 1e-12
FOLD_TREES = 20  # of each fold's fit, whose deviations alone are read: a quantile of them wants no more

Model = Callable[[Table], Forecasts]


def log_score(trial: Trial) -> float:
    """Logarithm of a trial's score; minus infinity where it has none.

    A score below its own standard error, which unbiased distances can be, counts as that error: it cannot be told from
    it.
    """
    return -np.inf if trial.score is None else float(np.log(max(trial.score.value, trial.score.standard_error, FLOOR)))


def train(table: Table, targets: np.ndarray, seed: int = 0, scale: float = 1.0) -> Model:
    """A model of the schedules of a table and their log scores (n,), none or many.

    From `ENOUGH` on its standard deviations are multiplied by ``scale``.
    """
    if len(targets) < ENOUGH:
        return _deviation(table, targets)
    raw = _regress(table, targets, seed)

    def model(new: Table) -> Forecasts:
        mean, std = raw(new)
        return Forecasts(mean, scale * std)

    return model


def calibrate(table: Table, targets: np.ndarray, seed: int = 0) -> float:
    """The scale of the standard deviations that holds on the targets (n,); 1 without targets."""
    if not len(targets):
        return 1.0

    def forecast(fit: np.ndarray, test: np.ndarray) -> Forecasts:
        return _regress(table.of(fit), targets[fit], seed, FOLD_TREES)(table.of(test))

    return conformal(forecast, targets, seed)


def _regress(table: Table, targets: np.ndarray, seed: int, trees: int = TREES) -> Model:
    """All regressors together, fitted to the targets (n,) and to their deviations from the prior.

    Time shifts and guidance are features only where some of the schedules have such, and the correction where there are
    transfer records: constant columns hold no information, but would change the trees' draws and the Gaussian process's
    distances.
    """
    shifted, guided, corrected = (part.any() for part in (table.shifts, table.guidance, table.correction))

    def extended(part: Table) -> Table:
        part = part.with_shifts() if shifted else part
        part = part.with_guidance() if guided else part
        return part.with_correction() if corrected else part

    table = extended(table)
    both = np.column_stack([targets, targets - table.prior])
    forecasts = [regressor(table.features, both, seed, trees) for regressor in REGRESSORS.values()]

    def model(new: Table) -> Forecasts:
        new = extended(new)
        base = np.column_stack([np.zeros_like(new.prior), new.prior])  # (M, 2)
        parts = [forecast(new.features) for forecast in forecasts]
        means = np.concatenate([base + mean for mean, _ in parts], axis=1)  # (M, 2R)
        variances = np.concatenate([std**2 for _, std in parts], axis=1) + FLOOR
        weights = 1.0 / variances
        weights /= weights.sum(axis=1, keepdims=True)
        mean = np.sum(weights * means, axis=1)
        variance = np.sum(weights * (variances + (means - mean[:, None]) ** 2), axis=1)  # of the mixture
        return Forecasts(mean, np.sqrt(variance))

    return model


def _deviation(table: Table, targets: np.ndarray) -> Model:
    """The corrected prior, shifted by the mean deviation of the targets (n,), shrunk as for few of them."""
    deviations = targets - table.prior - table.correction if len(targets) else targets
    weight = PRIOR_WEIGHT + len(deviations)
    shift = deviations.sum() / weight
    std = np.sqrt((PRIOR_WEIGHT * PRIOR_STD**2 + np.sum((deviations - shift) ** 2)) / weight)
    return lambda new: Forecasts(new.prior + new.correction + shift, np.full(len(new.prior), std))
