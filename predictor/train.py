"""A forecast of log(score) for schedules of one number of calls, fitted to everything evaluated so far.

With nothing evaluated it is the prior: physics, and the correction that lessons teach (`predictor.correction`), if any.
From a few trials it takes their mean deviation from the prior; from `ENOUGH` on it is the average, weighted by
certainty, of the regressors of `predictor.rankers`, each fitted to log(score) itself and to its deviation from the
prior: the first tells good schedules apart better, the second forecasts schedules unlike any evaluated one. A part of
the forecast is that of `predictor.sequence`, whose errors are of another kind; and the standard deviations are scaled
by `predictor.calibrate`. The trials say how far they bear out the lessons' correction; where lessons are the model's
own, the corrected prior keeps a share of the forecast that fades as trials come.
"""

from collections.abc import Callable

import numpy as np

from fewstep.problem import Prediction, Trial
from predictor.calibrate import scale as conformal
from predictor.dataset import Table
from predictor.rankers import REGRESSORS
from predictor.sequence import sequence

__all__ = ["ENOUGH", "Model", "calibrate", "log_score", "train"]

ENOUGH = 16  # trials
PRIOR_STD = 0.3  # of log(score) round physics; 0.18 to 0.25 on the models at hand, with room for others
PRIOR_WEIGHT = 4.0  # trials that the level and the spread of physics count for
FLOOR = 1e-12

ORDERED = 0.15  # share of the sequence ranker; 0.1 and 0.2 rank alike

FADE = 30.0  # own trials after which a prior that the model's own lessons corrected counts for half
BORNE_OUT = 25.0  # own trials that a correction is worth before they are looked at
FAR = 1.0  # of log(score) from the median deviation; beyond it a trial says no more of a correction

Model = Callable[[Table], Prediction]


def log_score(trial: Trial) -> float:
    """Logarithm of a trial's score; minus infinity where it has none.

    A score below its own standard error, which unbiased distances can be, counts as that error: it cannot be told from
    it.
    """
    return -np.inf if trial.score is None else float(np.log(max(trial.score.value, trial.score.standard_error, FLOOR)))


def train(table: Table, targets: np.ndarray, seed: int = 0, scale: float = 1.0, kept: float = 0.0) -> Model:
    """A model of the schedules of a table and their log scores (n,), none or many.

    From `ENOUGH` on its standard deviations are multiplied by ``scale``. ``kept`` says how long the prior keeps a share
    of the forecast, in units of `FADE`.
    """
    if len(targets) < ENOUGH:
        return _deviation(table, targets)
    raw = _blend(table, targets, seed, kept)

    def model(new: Table) -> Prediction:
        mean, std = raw(new)
        return Prediction(mean, scale * std)

    return model


def calibrate(table: Table, targets: np.ndarray, seed: int = 0, kept: float = 0.0) -> float:
    """The scale of the standard deviations that holds on the targets (n,); 1 where nothing has been seen."""
    if not len(targets):
        return 1.0
    return conformal(
        lambda known, new: _blend(table.of(known), targets[known], seed, kept)(table.of(new)), targets, seed
    )


def _blend(table: Table, targets: np.ndarray, seed: int, kept: float) -> Model:
    """The regressors, and what is left of the prior moved by the mean deviation."""
    fitted = _regress(table, targets, seed)
    share = kept * FADE / (kept * FADE + len(targets))
    if not share:
        return fitted
    moved = _deviation(table, targets)

    def model(new: Table) -> Prediction:
        pair, shares = (fitted(new), moved(new)), (1 - share, share)
        mean = sum(part * each.mean for part, each in zip(shares, pair, strict=True))
        squares = (part * (each.std**2 + (each.mean - mean) ** 2) for part, each in zip(shares, pair, strict=True))
        return Prediction(np.asarray(mean), np.sqrt(sum(squares)))

    return model


def _prior(table: Table, targets: np.ndarray) -> Callable[[Table], np.ndarray]:
    """Physics, and as much of the lessons' correction as the targets (n,) bear out."""
    moved = table.correction - table.correction.mean() if len(targets) else np.zeros(0)
    variance, count = float(moved @ moved), len(targets)
    if not variance:
        return lambda new: new.prior + new.correction
    deviations = targets - table.prior
    held = np.clip(deviations - np.median(deviations), -FAR, FAR)
    slope = float(moved @ held) / variance
    trust = float(np.clip((BORNE_OUT + count * slope) / (BORNE_OUT + count), 0.0, 1.0))
    return lambda new: new.prior + trust * new.correction


def _regress(table: Table, targets: np.ndarray, seed: int) -> Model:
    """All regressors together, fitted to the targets (n,) and to their deviations from the prior.

    Time shifts are features only where some of the schedules have one: constant columns say nothing, but would change
    what the trees draw and how far apart the Gaussian process finds two schedules.
    """
    seen = table.shifts.any()
    table = table.shifted() if seen else table
    prior = _prior(table, targets)
    both = np.column_stack([targets, targets - prior(table)])
    forecasts = [regressor(table.features, both, seed) for regressor in REGRESSORS.values()]
    ordered = sequence(table, targets, seed)

    def model(new: Table) -> Prediction:
        new = new.shifted() if seen else new
        base = np.column_stack([np.zeros_like(new.prior), prior(new)])  # (M, 2)
        parts = [forecast(new.features) for forecast in forecasts]
        means = np.concatenate([base + mean for mean, _ in parts], axis=1)  # (M, 2R)
        variances = np.concatenate([std**2 for _, std in parts], axis=1) + FLOOR
        weights = 1.0 / variances
        weights /= weights.sum(axis=1, keepdims=True)
        mean = np.sum(weights * means, axis=1)
        variance = np.sum(weights * (variances + (means - mean[:, None]) ** 2), axis=1)  # of the mixture
        return Prediction((1 - ORDERED) * mean + ORDERED * ordered(new), np.sqrt(variance))

    return model


def _deviation(table: Table, targets: np.ndarray) -> Model:
    """The prior moved by the mean deviation of the targets (n,) from it, as far as so few can be trusted."""
    prior = _prior(table, targets)
    deviations = targets - prior(table) if len(targets) else targets
    weight = PRIOR_WEIGHT + len(deviations)
    shift = deviations.sum() / weight
    std = np.sqrt((PRIOR_WEIGHT * PRIOR_STD**2 + np.sum((deviations - shift) ** 2)) / weight)
    return lambda new: Prediction(prior(new) + shift, np.full(len(new.prior), std))
