"""The last word on a search: finalists meet on fresh noises; the winner is measured on others.

The best of many noisy scores flatters itself. So the best trials, the fitted schedules and the best baselines are
measured anew on validation noises: all on a first piece, those that do not lose there on all. The winner by the
search's metric and the best baseline are then measured once on held-out noises, in pairs, by that metric and by the one
that is reported beside it. Fits and polishes lower the paired error whatever the metric is; it is the choice among them
that the metric makes.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fewstep import Schedule
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation.noises import NoiseSet, joined
from fewstep.search.evaluation.pool import Pool
from fewstep.search.evaluation.racing import loses
from fewstep.search.metrics.base import Metric, value
from fewstep.search.metrics.bootstrap import interval, ratio_interval, score
from fewstep.search.metrics.endpoint import Endpoint
from fewstep.search.stages.teacher import Sets
from fewstep.values.problem import Problem
from fewstep.values.result import Measured
from fewstep.values.score import Interval, Score
from fewstep.values.trial import Trial

__all__ = ["Confirmation", "confirm", "cost"]

FINALISTS = 2  # unfitted trials
BASELINES = 3
SECOND = 3  # finalists that meet on all validation noises; the best two baselines do in any case
TELL = 2

Rows = dict[Schedule, np.ndarray]


class Confirmation(NamedTuple):
    """Winner and best baseline on test noises, the paired ratio with its interval, and the calls that this cost."""

    winner: Measured
    baseline: Measured
    ratio: float
    ratio_interval: Interval
    calls: int


def cost(problem: Problem, sets: Sets, fits: int, nested: int) -> int:
    """The most sample-calls that `confirm` spends with so many fitted and nested schedules."""
    first, rest = sets.validation[0].count, sum(piece.count for piece in sets.validation[1:])
    noises = (FINALISTS + BASELINES + fits) * first + (SECOND + TELL) * rest
    return (noises + (2 + nested) * joined(sets.held_out).count) * problem.nfe


def confirm(
    problem: Problem,
    trials: Sequence[Trial],
    fitted: Sequence[Trial],
    hand_made: Mapping[str, Schedule],
    pool: Pool,
    sets: Sets,
    metrics: Sequence[Metric],
    nested: Sequence[Schedule] = (),
) -> Confirmation:
    """Choose on validation noises, measure on held-out noises; a fitted schedule that diverges is out.

    ``nested`` schedules were the winners of smaller budgets, on these held-out noises or on others: where one is better
    there than the winner, it stays the winner.
    """
    names, metric = {schedule.canonical(): name for name, schedule in hand_made.items()}, metrics[0]
    whole = [t for t in trials if t.score is not None and t.score.noises == problem.noises]
    ranked = sorted(whole, key=lambda t: t.score.value if t.score else np.inf)
    by_hand = [t.schedule for t in ranked if t.origin.stage == "baselines"][:BASELINES]
    finalists = list(
        dict.fromkeys([t.schedule for t in ranked[:FINALISTS]] + [t.schedule for t in fitted if t.score] + by_hand)
    )
    first, *rest = sets.validation
    rows = _observed(problem, pool, finalists, [first])
    values = {s: _value(metric, r) for s, r in rows.items()}
    order = sorted(finalists, key=values.__getitem__)
    better = [s for s in order if s == order[0] or not _loses(metric, rows[s], rows[order[0]])][:SECOND]
    told = sorted(by_hand, key=values.__getitem__)[:TELL]
    stayed = list(dict.fromkeys([*better, *told]))
    more = _observed(problem, pool, stayed, rest)
    values = {s: _value(metric, np.concatenate([rows[s], more[s]])) for s in stayed}
    winner, baseline = min(better, key=values.__getitem__), min(told, key=values.__getitem__)

    held = _held(problem, pool, list(dict.fromkeys([baseline, winner, *nested])), sets.held_out)
    winner = min(dict.fromkeys([winner, *nested]), key=lambda s: _value(metric, held[s][0]))
    count = joined(sets.held_out).count
    scores = {s: [score(m, r, count * problem.nfe) for m, r in zip(metrics, held[s], strict=True)] for s in held}
    least = 0.0 if isinstance(metric, Endpoint) else scores[baseline][0].standard_error
    means = [max(scores[s][0].value, least) for s in (winner, baseline)]
    origins = {t.schedule: str(t.origin) for t in (*trials, *fitted)}
    won = _measured(
        origins.get(winner, "nested"), winner, scores[winner], interval(metric, held[winner][0], problem.seed)
    )
    lost = _measured(names[baseline], baseline, scores[baseline], None)
    validated = len(finalists) * first.count + len(stayed) * sum(piece.count for piece in rest)
    between = ratio_interval(metric, held[winner][0], held[baseline][0], problem.seed, least=least)
    calls = (validated + len(held) * count) * problem.nfe
    return Confirmation(won, lost, means[0] / means[1], Interval(*between), calls)


def _measured(name: str, schedule: Schedule, scores: Sequence[Score], between: tuple[float, float] | None) -> Measured:
    second = scores[1] if len(scores) > 1 else None
    return Measured(name, schedule, scores[0], None if between is None else Interval(*between), second)


def _observed(problem: Problem, pool: Pool, schedules: Sequence[Schedule], pieces: Sequence[NoiseSet]) -> Rows:
    """Rows of each schedule by the search's metric, over all pieces in order."""
    futures = {s: [pool.submit(evaluate.observe, p, s, [problem.measure]) for p in pieces] for s in schedules}
    return {s: np.concatenate([future.result()[0] for future in row]) for s, row in futures.items()}


def _held(
    problem: Problem, pool: Pool, schedules: Sequence[Schedule], pieces: Sequence[NoiseSet]
) -> dict[Schedule, list[np.ndarray]]:
    """Rows of each schedule by each of the problem's metrics, over all pieces in order."""
    futures = {s: [pool.submit(evaluate.observe, p, s, problem.measures) for p in pieces] for s in schedules}
    return {
        s: [np.concatenate(parts) for parts in zip(*(future.result() for future in row), strict=True)]
        for s, row in futures.items()
    }


def _value(metric: Metric, rows: np.ndarray) -> float:
    return value(metric, rows) if np.isfinite(rows).all() else np.inf


def _loses(metric: Metric, rows: np.ndarray, best: np.ndarray) -> bool:
    return not np.isfinite(rows).all() or loses(metric, rows, best)
