"""The polish of a search: which schedules, how many iterations, and what is said where it cannot be or does not pay."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from fewstep import Schedule
from fewstep.problem import Problem, Trial
from search import gradient
from search.noises import NoiseSet
from search.polish import Task, polish
from search.pool.base import Pool, WorkerLost

__all__ = ["CALLS", "Polishing", "count", "polished"]

CALLS = 150  # sample-calls of gradient descent for each evaluation of the budget
FEWEST = 20  # iterations that a polish wants
MOST = 4  # schedules
BATCH = 32


class Polishing(NamedTuple):
    """Schedules with None, or with the reason why they are no better than before; sample-calls spent."""

    outcomes: list[tuple[Schedule, str | None]]
    calls: int


def count(problem: Problem, calls: int) -> int:
    """How many schedules can be polished for so many sample-calls; 0 where they are too few for one."""
    return min(_iterations(problem, calls) // FEWEST, 1 + problem.budget // 1000, MOST)


def polished(
    pool: Pool,
    problem: Problem,
    fitted: Sequence[Trial],
    noises: NoiseSet,
    judge: NoiseSet,
    most: int,
    allowed: int,
    progress: Callable[[str, int, int], None],
) -> Polishing:
    """Polish the best ``most`` fitted schedules, unshifted, on ``noises``, for ``allowed`` sample-calls together.

    The error on the noises ``judge`` says whether it paid.
    """
    best = sorted((t for t in fitted if t.score is not None), key=lambda t: t.score.value if t.score else 0.0)[:most]
    why = pool.submit(gradient.obstacle).result()
    calls = gradient.PROBE_CALLS
    if why is not None:
        return Polishing([(trial.schedule, f"not polished: {why}") for trial in best], calls)
    iterations = _iterations(problem, allowed) // max(len(best), 1)
    starts = [replace(trial.schedule, shift=None) for trial in best]
    tasks = [Task(start, noises, judge, iterations, BATCH, seed=problem.seed) for start in starts]
    try:
        done = polish(pool, tasks, lambda k, total: progress("polish", k, total))
    except WorkerLost as error:
        return Polishing([(trial.schedule, f"not polished: {error}") for trial in best], calls)
    outcomes: list[tuple[Schedule, str | None]] = []
    for trial, outcome in zip(best, done, strict=True):
        told = (
            f"the polish did not pay: on {judge.count} other noises the error went from {outcome.before:.3g} no lower"
        )
        outcomes.append((outcome.schedule or trial.schedule, None if outcome.schedule else told))
    return Polishing(outcomes, calls + sum(outcome.calls for outcome in done))


def _iterations(problem: Problem, calls: int) -> int:
    return calls // (BATCH * (2 * problem.nfe - 1))
