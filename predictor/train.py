"""The ranker: a forecast of log(score) for schedules, fitted to everything evaluated so far.

With nothing evaluated it is physics alone; from a few trials it takes their mean deviation from physics; from `ENOUGH`
on it is the average, weighted by certainty, of the regressors of `predictor.rankers`, each fitted to log(score) itself
and to its deviation from physics: the first tells good schedules apart better, the second forecasts schedules unlike
any evaluated one. A part of the forecast is that of `predictor.sequence`, whose errors are of another kind; and the
standard deviations are scaled by `predictor.calibrate`.
"""

from collections.abc import Callable, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from fewstep.problem import Prediction, Rank, Trial
from fewstep.schedule import Schedule
from fewstep.trajectory import Trajectories
from predictor.calibrate import milestone
from predictor.calibrate import scale as conformal
from predictor.dataset import Dataset, Table
from predictor.rankers import REGRESSORS
from predictor.sequence import sequence

__all__ = ["ENOUGH", "Model", "calibrate", "log_score", "ranker", "train"]

ENOUGH = 16  # trials
PRIOR_STD = 0.3  # of log(score) round physics; 0.18 to 0.25 on the models at hand, with room for others
PRIOR_WEIGHT = 4.0  # trials that the level and the spread of physics count for
FLOOR = 1e-12

ORDERED = 0.15  # share of the sequence ranker; 0.1 and 0.2 rank alike

Model = Callable[[Table], Prediction]
Seen = tuple[tuple[Schedule, float], ...]


def ranker(trajectories: Trajectories, seed: int = 0, knowledge: str = "all") -> Rank:
    """A rank from teacher trajectories: deterministic in its arguments and ``seed``, for any number of trials.

    Trials without a score are left out; candidates are compared with the trials of their own number of calls. The rank
    raises `InvalidInput` for schedules of another process than the trajectories'. ``knowledge`` names the features it
    may use (`predictor.dataset`): "all", or less for comparison.
    """
    with threadpool_limits(1):  # one order of summation: the same forecast whatever the machine
        dataset = Dataset(trajectories, knowledge)
    fitted: dict[int, tuple[Seen, Model]] = {}  # by number of calls
    scales: dict[int, tuple[Seen, float]] = {}

    def rank(trials: Sequence[Trial], candidates: Sequence[Schedule]) -> Prediction:
        mean, std = np.zeros(len(candidates)), np.zeros(len(candidates))
        with threadpool_limits(1):
            for nfe in sorted({candidate.nfe for candidate in candidates}):
                seen = tuple(
                    (t.schedule, log_score(t)) for t in trials if t.score is not None and t.schedule.nfe == nfe
                )
                if nfe not in fitted or fitted[nfe][0] != seen:
                    first = seen[: milestone(len(seen), ENOUGH)]
                    if nfe not in scales or scales[nfe][0] != first:
                        scales[nfe] = first, calibrate(dataset, first, seed)
                    fitted[nfe] = seen, train(dataset, seen, seed, scales[nfe][1])
                chosen = [i for i, candidate in enumerate(candidates) if candidate.nfe == nfe]
                mean[chosen], std[chosen] = fitted[nfe][1](dataset([candidates[i] for i in chosen]))
        return Prediction(mean, std)

    return rank


def log_score(trial: Trial) -> float:
    """Logarithm of a trial's score; minus infinity where it has none.

    A score below its own standard error, which unbiased distances can be, counts as that error: it cannot be told from
    it.
    """
    return -np.inf if trial.score is None else float(np.log(max(trial.score.value, trial.score.standard_error, FLOOR)))


def train(dataset: Dataset, seen: Sequence[tuple[Schedule, float]], seed: int = 0, scale: float = 1.0) -> Model:
    """A model of schedules and their log scores, none or many; all have the same number of calls.

    From `ENOUGH` on its standard deviations are multiplied by ``scale``.
    """
    if not seen:
        return _deviation(np.zeros(0))
    table, targets = dataset([schedule for schedule, _ in seen]), np.array([score for _, score in seen])
    if len(seen) < ENOUGH:
        return _deviation(targets - table.prior)
    raw = _regress(table, targets, seed)

    def model(new: Table) -> Prediction:
        mean, std = raw(new)
        return Prediction(mean, scale * std)

    return model


def calibrate(dataset: Dataset, seen: Sequence[tuple[Schedule, float]], seed: int = 0) -> float:
    """The scale of the standard deviations that holds on ``seen``; 1 where nothing has been seen."""
    if not seen:
        return 1.0
    table, targets = dataset([schedule for schedule, _ in seen]), np.array([score for _, score in seen])
    return conformal(lambda known, new: _regress(table.of(known), targets[known], seed)(table.of(new)), targets, seed)


def _regress(table: Table, targets: np.ndarray, seed: int) -> Model:
    """All regressors together, fitted to the targets (n,) and to their deviations from the prior.

    Time shifts are features only where some of the schedules have one: constant columns say nothing, but would change
    what the trees draw and how far apart the Gaussian process finds two schedules.
    """
    seen = table.shifts.any()
    table = table.shifted() if seen else table
    both = np.column_stack([targets, targets - table.prior])
    forecasts = [regressor(table.features, both, seed) for regressor in REGRESSORS.values()]
    ordered = sequence(table, targets, seed)

    def model(new: Table) -> Prediction:
        new = new.shifted() if seen else new
        base = np.column_stack([np.zeros_like(new.prior), new.prior])  # (M, 2)
        parts = [forecast(new.features) for forecast in forecasts]
        means = np.concatenate([base + mean for mean, _ in parts], axis=1)  # (M, 2R)
        variances = np.concatenate([std**2 for _, std in parts], axis=1) + FLOOR
        weights = 1.0 / variances
        weights /= weights.sum(axis=1, keepdims=True)
        mean = np.sum(weights * means, axis=1)
        variance = np.sum(weights * (variances + (means - mean[:, None]) ** 2), axis=1)  # of the mixture
        return Prediction((1 - ORDERED) * mean + ORDERED * ordered(new), np.sqrt(variance))

    return model


def _deviation(deviations: np.ndarray) -> Model:
    """Physics moved by the mean of the deviations (n,), as far as so few can be trusted."""
    weight = PRIOR_WEIGHT + len(deviations)
    shift = deviations.sum() / weight
    std = np.sqrt((PRIOR_WEIGHT * PRIOR_STD**2 + np.sum((deviations - shift) ** 2)) / weight)
    return lambda new: Prediction(new.prior + shift, np.full(len(new.prior), std))
