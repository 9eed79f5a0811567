"""Guided trials: generations that the problem's sampler proposes, in the light of all trials so far."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from fewstep.search.samplers.study import Study
from fewstep.search.state import BATCH, Batch, SearchState
from fewstep.values.trial import Trial

__all__ = ["propose"]

CRITICAL = 1.645  # standard deviations below a forecast: lower is 5 % likely
PATIENCE = 2  # generations that promise no improvement, after which trials end


def propose(state: SearchState, batch: int = BATCH) -> Iterator[Batch]:
    """Generations, until the trials that no other stage has are spent or no forecast promises the improvement."""
    problem = state.problem
    study = Study(state.space, state.rank, batch, problem.seed, problem.sampler)
    for trial in state.trials:
        study.add(trial)
    idle = 0
    while (count := min(batch, state.budget.left.trials)) > 0:
        if idle == PATIENCE:
            state.ended = "improvement"
            return
        first = len(state.trials)
        yield Batch(count, partial(study.ask, count))
        trials = state.trials[first:]
        study.take(trials)
        idle = 0 if _promising(state, trials) else idle + 1


def _promising(state: SearchState, trials: Sequence[Trial]) -> bool:
    """Whether a forecast of these trials reached down to the improvement that is asked for, or none is."""
    share, best = state.problem.limits.improvement, state.best
    if share is None or best is None or best <= 0:
        return True
    target = np.log(best) + np.log1p(-share) if share < 1 else -np.inf
    forecasts = [trial.candidate.forecast for trial in trials if trial.candidate.forecast is not None]
    return not forecasts or bool(min(each.mean - CRITICAL * each.std for each in forecasts) < target)
