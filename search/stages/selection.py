"""Selection and test: finalists are compared on validation noises; winner and best baseline are scored once on the test
noises, which chose nothing.

The best of many noisy scores flatters itself. So the best trials, the fitted schedules and the best baselines are
measured anew on validation noises: all on a first piece, those that are not significantly worse there on all. Where
there are no validation noises, the trials' own scores decide: those of cross-fitted rows are of noises that the rows do
not know. The winner and the best baseline are then measured in pairs on the test noises, by the objective, by the
secondary metric and by the summaries that every result carries (`fewstep.search.stages.summaries`). A winner that is
worse there is not published, the baseline is.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fewstep import Schedule
from fewstep.errors import SearchFailed
from fewstep.search.budget import ON_TEST
from fewstep.search.evaluation import evaluator
from fewstep.search.evaluation.early_stopping import worse
from fewstep.search.evaluation.noises import CHUNK, TEST, NoiseSet, joined
from fewstep.search.evaluation.targets import prepare_test
from fewstep.search.metrics.base import Metric, value_of
from fewstep.search.metrics.bootstrap import interval, ratio_interval, score
from fewstep.search.optimize.span import out_of_span
from fewstep.search.stages import baselines, cross_fit, guidance
from fewstep.search.stages.summaries import Guard, Metrics, guard, published, summarised
from fewstep.search.state import SearchState
from fewstep.values.cost_card import BASELINES, COMPARED, LAST, LAST_BASELINES, SPANNED, TEACHER_CALLS, TRIALS
from fewstep.values.objective import Objective
from fewstep.values.problem import MAX_NOISES
from fewstep.values.result import Measured
from fewstep.values.score import Interval
from fewstep.values.trial import Trial

__all__ = ["Choice", "Tested", "choose", "test"]

Observations = dict[Schedule, list[np.ndarray]]


class Choice(NamedTuple):
    """The winner and the best baseline by the validation noises."""

    winner: Trial
    baseline: Trial


class Tested(NamedTuple):
    """Winner and best baseline on the test noises, the paired ratio of their scores with its interval, the teacher's
    own error, and what the guard says: fields of a `Result`."""

    winner: Measured
    baseline: Measured
    ratio: float
    ratio_interval: Interval
    teacher_error: float
    verdict: str | None
    warnings: tuple[str, ...]
    out_of_span: float | None


def choose(state: SearchState) -> Choice:
    """The best finalist and the best baseline on the validation noises; one that diverges there is out.

    Raises `SearchFailed` where there is no baseline to compare with, or no finalist within the bound of passes, which
    baselines need not keep: they run at the model's own guidance.
    """
    metric, finalists, best_baselines = state.metrics[0], _finalists(state), _baselines(state)
    allowed = [trial for trial in finalists if state.allowed(trial.schedule)]
    if not allowed:
        raise SearchFailed(
            f"no schedule within {state.problem.max_passes} passes could be measured: allow more calls to the search"
        )
    if not state.split.validation:
        others = [trial for trial in state.whole if state.allowed(trial.schedule)]
        return Choice(min([*others, *allowed], key=_own_score), best_baselines[0])
    first, *rest = state.split.validation
    on_first = _validate(state, [trial.schedule for trial in finalists], [first])
    values = {trial.schedule: value_of(metric, on_first[trial.schedule][0]) for trial in finalists}

    ranked = sorted(allowed, key=lambda trial: values[trial.schedule])
    leader = on_first[ranked[0].schedule][0]
    last = [t for t in ranked if t is ranked[0] or not _worse(metric, on_first[t.schedule][0], leader)][:LAST]
    last_baselines = sorted(best_baselines, key=lambda trial: values[trial.schedule])[:LAST_BASELINES]
    schedules = list(dict.fromkeys(trial.schedule for trial in (*last, *last_baselines)))
    more = _validate(state, schedules, rest) if rest else {}
    for schedule in schedules:
        observations = np.concatenate([each[schedule][0] for each in (on_first, more) if each])
        values[schedule] = value_of(metric, observations)
    return Choice(
        min(last, key=lambda trial: values[trial.schedule]),
        min(last_baselines, key=lambda trial: values[trial.schedule]),
    )


def test(state: SearchState, choice: Choice, owner: str) -> Tested:
    """Scores on the test noises, on more of them until the ratio is as precise as the problem asks.

    The calls are booked as those of the test; ``owner`` pays for targets that are not there yet.
    """
    problem, objective, summaries = state.problem, state.problem.objective, published(state)
    winner, baseline = choice.winner.schedule, choice.baseline.schedule
    asked = list(dict.fromkeys([*problem.objectives, *summaries]))
    metrics = dict(zip(asked, state.pool.submit(evaluator.metrics_of, asked).result(), strict=True))
    metric, parts, seen, count = metrics[objective], list(state.split.test), Observations(), 0
    while True:
        more = joined(parts).count
        made = prepare_test(state.pool, parts, owner)
        state.budget.spend(ON_TEST, more * TEACHER_CALLS, made=made)
        seen = _together(seen, _observe(state, list(dict.fromkeys([winner, baseline])), parts, asked))
        state.budget.spend(ON_TEST, len(seen) * more * problem.nfe)
        count += more
        ours, theirs = (dict(zip(asked, seen[schedule], strict=True)) for schedule in (winner, baseline))
        kept = guard(ours, theirs, metrics, objective)
        if kept.verdict is not None and state.bounded:  # the baseline takes more passes than were asked for
            worse = (*kept.warnings, f"at {state.problem.max_passes} passes {kept.verdict}")
            kept = Guard(None, worse)
        least = score(metric, theirs[objective], 1).standard_error if metric.can_vanish else 0.0
        between = (1.0, 1.0)
        if kept.verdict is None:
            between = ratio_interval(metric, ours[objective], theirs[objective], problem.seed, least=least)
        wide = problem.precision is not None and between[1] - between[0] > 2 * problem.precision
        if not wide or 2 * count > MAX_NOISES:
            break
        parts = NoiseSet(problem.seed, TEST, count, first=count).chunks(max(CHUNK, problem.noises))

    named = found = _measured(state, metrics, choice.baseline.origin.name, baseline, theirs, summaries)
    if kept.verdict is None:
        found = _measured(state, metrics, str(choice.winner.origin), winner, ours, summaries)
    ratio = max(found.score.value, least) / max(named.score.value, least)
    error, outside = _of_teacher(state, owner), _of_span(state, found.schedule)
    return Tested(found, named, ratio, Interval(*between), error, kept.verdict, kept.warnings, outside)


def _measured(
    state: SearchState,
    metrics: Metrics,
    name: str,
    schedule: Schedule,
    observations: Mapping[Objective, np.ndarray],
    summaries: Sequence[Objective],
) -> Measured:
    """A schedule by its observations on the test noises."""
    problem = state.problem
    rows = observations[problem.objective]
    scores = [score(metrics[each], observations[each], len(rows) * problem.nfe) for each in problem.objectives]
    bounds = Interval(*interval(metrics[problem.objective], rows, problem.seed))
    others = summarised(observations, metrics, summaries, problem.seed)
    second = scores[1] if len(scores) > 1 else None
    return Measured(name, schedule, scores[0], bounds, second, others, state.passes(schedule))


def _of_teacher(state: SearchState, owner: str) -> float:
    """The teacher's own error on a few test noises."""
    first = state.split.test[0]
    few = min(COMPARED, first.count)
    error, made = state.pool.submit(evaluator.convergence, owner, first, few).result()
    state.budget.spend(ON_TEST, few * 2 * TEACHER_CALLS, made=made)
    return error


def _of_span(state: SearchState, schedule: Schedule) -> float | None:
    """The out-of-span share of a schedule on a few test noises."""
    first = state.split.test[0]
    few = min(SPANNED, first.count)
    share = state.pool.submit(out_of_span, first, few, schedule).result()
    state.budget.spend(ON_TEST, few * state.problem.nfe if share is not None else 0)
    return share


def _baselines(state: SearchState) -> list[Trial]:
    trials = [trial for trial in state.whole if trial.origin.stage == baselines.NAME][:BASELINES]
    if not trials:
        raise SearchFailed("no baseline could be measured on all noises: there is nothing to compare a schedule with")
    return trials


def _finalists(state: SearchState) -> list[Trial]:
    """One trial of each finalist: the best of the search, the best cross-fitted ones, whose scores are of other noises,
    all of the final stages, the best baselines."""
    searched = [trial for trial in state.whole if trial.origin.stage not in state.final]
    fitted = [trial for trial in state.trials if trial.origin.stage in state.final and trial.score is not None]
    finalists: dict[Schedule, Trial] = {}
    crossed = sorted((trial for trial in state.of(cross_fit.NAME, guidance.NAME) if trial.score), key=_own_score)
    for trial in (*searched[:TRIALS], *crossed[:TRIALS], *fitted, *_baselines(state)):
        finalists.setdefault(trial.schedule, trial)
    return list(finalists.values())


def _observe(
    state: SearchState, schedules: Sequence[Schedule], pieces: Sequence[NoiseSet], objectives: Sequence[Objective]
) -> Observations:
    """Observations of each schedule over all pieces, in order, by each objective."""
    futures = {
        schedule: [state.pool.submit(evaluator.observe, piece, schedule, objectives) for piece in pieces]
        for schedule in schedules
    }
    return {
        schedule: [np.concatenate(parts) for parts in zip(*(future.result() for future in row), strict=True)]
        for schedule, row in futures.items()
    }


def _together(first: Observations, second: Observations) -> Observations:
    """Observations of the same schedules on two sets of noises, in order."""
    return {
        schedule: [np.concatenate(both) for both in zip(first[schedule], rows, strict=True)] if first else rows
        for schedule, rows in second.items()
    }


def _validate(state: SearchState, schedules: Sequence[Schedule], pieces: Sequence[NoiseSet]) -> Observations:
    """Observations by the objective; the network calls are booked."""
    state.budget.spend("selection", len(schedules) * joined(pieces).count * state.problem.nfe)
    return _observe(state, schedules, pieces, [state.problem.objective])


def _own_score(trial: Trial) -> tuple[float, int]:
    return (np.inf if trial.score is None else trial.score.value), trial.number


def _worse(metric: Metric, observations: np.ndarray, leader: np.ndarray) -> bool:
    return not np.isfinite(observations).all() or worse(metric, observations, leader)
