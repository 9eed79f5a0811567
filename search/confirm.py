"""The last word on a search: finalists meet on fresh noises; the winner is measured on others.

The best of many noisy scores flatters itself. So the best trials, the fitted schedules and the best baselines are
re-scored on validation noises; the winner and the best baseline are then measured once on held-out noises, in pairs.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fewstep import Schedule
from fewstep.problem import Problem, Score, Trial
from search import evaluate
from search.metrics import endpoint
from search.noises import HELD_OUT, VALIDATION, NoiseSet
from search.pool.base import Pool

__all__ = ["Confirmation", "confirm"]

FINALISTS = 8
BASELINES = 3


class Confirmation(NamedTuple):
    """The winner and the best hand-made solver on held-out noises, the paired ratio and the calls that this cost."""

    schedule: Schedule
    score: Score
    baseline_name: str
    baseline_schedule: Schedule
    baseline: Score
    ratio: float
    ratio_low: float
    ratio_high: float
    calls: int


def confirm(
    problem: Problem,
    trials: Sequence[Trial],
    fitted: Sequence[Trial],
    hand_made: Mapping[str, Schedule],
    pool: Pool,
    sets: Mapping[str, Sequence[NoiseSet]],
    nested: Sequence[Schedule] = (),
) -> Confirmation:
    """Choose on validation noises, measure on held-out noises; a fitted schedule that diverges is out.

    ``nested`` schedules were the winners of smaller budgets, on these held-out noises or on others: where one is better
    there than the winner, it stays the winner.
    """
    names = {schedule.canonical(): name for name, schedule in hand_made.items()}
    ranked = sorted((t for t in trials if t.score is not None), key=lambda t: t.score.value if t.score else np.inf)
    by_hand = [t.schedule for t in ranked if t.origin.startswith("baseline")][:BASELINES]
    finalists = list(
        dict.fromkeys([t.schedule for t in ranked[:FINALISTS]] + [t.schedule for t in fitted if t.score] + by_hand)
    )

    chosen = dict(zip(finalists, _errors(finalists, pool, sets[VALIDATION]), strict=True))
    means = {s: float(np.nan_to_num(errors.mean(), nan=np.inf)) for s, errors in chosen.items()}
    winner, baseline = min(finalists, key=means.__getitem__), min(by_hand, key=means.__getitem__)
    reference, *measured = _errors([baseline, winner, *nested], pool, sets[HELD_OUT])
    ends = [float(np.nan_to_num(errors.mean(), nan=np.inf)) for errors in measured]
    best = int(np.argmin(ends))
    winner, errors = [winner, *nested][best], measured[best]
    noises = {role: sum(chunk.count for chunk in chunks) for role, chunks in sets.items()}
    cost = noises[HELD_OUT] * problem.nfe
    score, baseline_score = endpoint.score(errors, cost), endpoint.score(reference, cost)
    return Confirmation(
        winner,
        score,
        names[baseline],
        baseline,
        baseline_score,
        score.value / baseline_score.value,
        *endpoint.ratio_interval(errors, reference, problem.seed),
        len(finalists) * noises[VALIDATION] * problem.nfe + (2 + len(nested)) * cost,
    )


def _errors(schedules: Sequence[Schedule], pool: Pool, chunks: Sequence[NoiseSet]) -> list[np.ndarray]:
    """Squared errors of each schedule over all chunks, in order."""
    futures = [[pool.submit(evaluate.measure, chunk, schedule) for chunk in chunks] for schedule in schedules]
    return [np.concatenate([future.result() for future in row]) for row in futures]
