"""Selection and test: finalists are compared on validation noises; winner and best baseline are scored once on the test
noises, which chose nothing.

The best of many noisy scores flatters itself. So the best trials, the fitted schedules and the best baselines are
measured anew on validation noises: all on a first piece, those that are not significantly worse there on all. The
winner and the best baseline are then measured in pairs on the test noises, by the objective and by the secondary
metric. Fits and polishes lower the paired error whatever the objective is; it is the choice among them that the
objective makes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fewstep import Schedule
from fewstep.errors import SearchFailed
from fewstep.search.evaluation import evaluator
from fewstep.search.evaluation.early_stopping import worse
from fewstep.search.evaluation.noises import NoiseSet, NoiseSplit, joined
from fewstep.search.metrics.base import Metric
from fewstep.search.metrics.bootstrap import interval, ratio_interval, score
from fewstep.search.stages import baselines
from fewstep.search.stages.warm_start import split
from fewstep.search.state import SearchState
from fewstep.values.problem import Problem
from fewstep.values.result import Measured
from fewstep.values.score import Interval
from fewstep.values.trial import Trial

__all__ = ["Choice", "Tested", "choose", "cost", "test"]

TRIALS = 2  # finalists that no final stage made
BASELINES = 3
LAST, LAST_BASELINES = 3, 2  # finalists that meet on all validation noises; the best baselines do in any case

Observations = dict[Schedule, list[np.ndarray]]


class Choice(NamedTuple):
    """The winner and the best baseline by the validation noises."""

    winner: Trial
    baseline: Trial


class Tested(NamedTuple):
    """Winner and best baseline on the test noises, the paired ratio of their scores and its interval."""

    winner: Measured
    baseline: Measured
    ratio: float
    interval: Interval


def cost(problem: Problem, noises: NoiseSplit, nested: int) -> int:
    """The most network calls of selection and test, without finalists of the final stages; ``nested`` schedules of the
    warm start are tested beside winner and baseline."""
    first, *rest = (piece.count for piece in noises.validation)
    validated = (TRIALS + BASELINES) * first + (LAST + LAST_BASELINES) * sum(rest)
    return (validated + (2 + nested) * joined(noises.test).count) * problem.nfe


def choose(state: SearchState) -> Choice:
    """The best finalist and the best baseline on the validation noises; one that diverges there is out.

    Raises `SearchFailed` where there is no baseline to compare with.
    """
    metric, finalists, best_baselines = state.metrics[0], _finalists(state), _baselines(state)
    first, *rest = state.split.validation
    on_first = _observe(state, [trial.schedule for trial in finalists], [first])
    values = {trial.schedule: _value(metric, on_first[trial.schedule][0]) for trial in finalists}

    ranked = sorted(finalists, key=lambda trial: values[trial.schedule])
    leader = on_first[ranked[0].schedule][0]
    last = [t for t in ranked if t is ranked[0] or not _worse(metric, on_first[t.schedule][0], leader)][:LAST]
    last_baselines = sorted(best_baselines, key=lambda trial: values[trial.schedule])[:LAST_BASELINES]
    schedules = list(dict.fromkeys(trial.schedule for trial in (*last, *last_baselines)))
    more = _observe(state, schedules, rest)
    for schedule in schedules:
        observations = np.concatenate([on_first[schedule][0], more[schedule][0]])
        values[schedule] = _value(metric, observations)
    return Choice(
        min(last, key=lambda trial: values[trial.schedule]),
        min(last_baselines, key=lambda trial: values[trial.schedule]),
    )


def test(state: SearchState, choice: Choice) -> Tested:
    """Scores on the test noises. Schedules of the warm start were the winners of fewer calls, on these noises or on
    others: where one of them is better here than the winner, it stays the winner."""
    problem, metrics, metric = state.problem, state.metrics, state.metrics[0]
    nested = {split(schedule): "nested" for schedule in state.warm.schedules}
    names = nested | {choice.winner.schedule: str(choice.winner.origin)}
    contenders = list(dict.fromkeys([choice.winner.schedule, *nested]))
    baseline = choice.baseline.schedule
    observations = _observe(state, list(dict.fromkeys([baseline, *contenders])), state.split.test, secondary=True)
    winner = min(contenders, key=lambda schedule: _value(metric, observations[schedule][0]))

    def measured(schedule: Schedule, name: str) -> Measured:
        calls = joined(state.split.test).count * problem.nfe
        scores = [score(m, each, calls) for m, each in zip(metrics, observations[schedule], strict=True)]
        bounds = Interval(*interval(metric, observations[schedule][0], problem.seed))
        return Measured(name, schedule, scores[0], bounds, scores[1] if len(scores) > 1 else None)

    ours, theirs = measured(winner, names[winner]), measured(baseline, choice.baseline.origin.name)
    least = theirs.score.standard_error if metric.can_vanish else 0.0
    ratio = max(ours.score.value, least) / max(theirs.score.value, least)
    pair = observations[winner][0], observations[baseline][0]
    return Tested(ours, theirs, ratio, Interval(*ratio_interval(metric, *pair, problem.seed, least=least)))


def _baselines(state: SearchState) -> list[Trial]:
    trials = [trial for trial in state.whole if trial.origin.stage == baselines.NAME][:BASELINES]
    if not trials:
        raise SearchFailed("no baseline could be measured on all noises: there is nothing to compare a schedule with")
    return trials


def _finalists(state: SearchState) -> list[Trial]:
    """One trial of each finalist: the best of the search, all of the final stages, the best baselines."""
    searched = [trial for trial in state.whole if trial.origin.stage not in state.final]
    fitted = [trial for trial in state.trials if trial.origin.stage in state.final and trial.score is not None]
    finalists: dict[Schedule, Trial] = {}
    for trial in (*searched[:TRIALS], *fitted, *_baselines(state)):
        finalists.setdefault(trial.schedule, trial)
    return list(finalists.values())


def _observe(
    state: SearchState, schedules: Sequence[Schedule], pieces: Sequence[NoiseSet], secondary: bool = False
) -> Observations:
    """Observations of each schedule over all pieces, in order: by the objective, and by the secondary metric if asked.

    The network calls are booked.
    """
    objectives = state.problem.objectives if secondary else (state.problem.objective,)
    futures = {
        schedule: [state.pool.submit(evaluator.observe, piece, schedule, objectives) for piece in pieces]
        for schedule in schedules
    }
    state.budget.spend("selection", len(schedules) * joined(pieces).count * state.problem.nfe)
    return {
        schedule: [np.concatenate(parts) for parts in zip(*(future.result() for future in row), strict=True)]
        for schedule, row in futures.items()
    }


def _value(metric: Metric, observations: np.ndarray) -> float:
    return metric.value(observations) if np.isfinite(observations).all() else np.inf


def _worse(metric: Metric, observations: np.ndarray, leader: np.ndarray) -> bool:
    return not np.isfinite(observations).all() or worse(metric, observations, leader)
