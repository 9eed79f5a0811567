"""The polish of a search: which schedules, how many iterations, and what is said where it cannot be or does not pay."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from fewstep import Schedule
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.evaluation.pool import Pool, WorkerLost
from fewstep.search.optimize.descent import CHUNK, FRAMED, Task, iteration, polish
from fewstep.values.problem import Problem
from fewstep.values.trial import Trial

__all__ = ["CALLS", "MOST_CALLS", "Polishing", "count", "polished"]

CALLS, MOST_CALLS = 500, 30_000  # sample-calls for each evaluation of the budget, and in all; the closed loop's too
FEWEST = 20  # iterations that a polish wants
MOST = 4  # schedules
BATCH, LATER, SHORT = 32, 16, 6  # noises of an iteration; with more than so many calls, where each costs more


class Polishing(NamedTuple):
    """Schedules with None, or with the reason why they are no better than before; sample-calls spent."""

    outcomes: list[tuple[Schedule, str | None]]
    calls: int


def count(problem: Problem, noises: NoiseSet, size: int, calls: int) -> int:
    """How many schedules can be polished on ``noises`` of ``size`` numbers for so many sample-calls; 0 where they are
    too few for one."""
    wanted = range(min(1 + problem.budget // 1000, MOST), 0, -1)
    return next((n for n in wanted if _iterations(problem, noises, size, calls // n) >= FEWEST), 0)


def polished(
    pool: Pool,
    problem: Problem,
    fitted: Sequence[Trial],
    noises: NoiseSet,
    size: int,
    most: int,
    allowed: int,
    progress: Callable[[str, int, int], None],
) -> Polishing:
    """Polish the best ``most`` fitted schedules, unshifted, for ``allowed`` sample-calls together.

    They are moved on ``noises`` and judged by all of them: so few numbers do not learn so many noises by heart, and
    validation noises stay unseen for the choice among finalists.
    """
    best = sorted((t for t in fitted if t.score is not None), key=lambda t: t.score.value if t.score else 0.0)[:most]
    iterations = _iterations(problem, noises, size, allowed // max(len(best), 1))
    starts = [replace(trial.schedule, shift=None) for trial in best]
    tasks = [Task(start, noises, noises, iterations, _batch(problem), seed=problem.seed) for start in starts]
    try:
        done = polish(pool, tasks, lambda k, total: progress("polish", k, total))
    except WorkerLost as error:
        return Polishing([(trial.schedule, f"not polished: {error}") for trial in best], 0)
    outcomes: list[tuple[Schedule, str | None]] = []
    for trial, outcome in zip(best, done, strict=True):
        told = f"the polish did not pay: on its {noises.count} noises the error went from {outcome.before:.3g} no lower"
        outcomes.append((outcome.schedule or trial.schedule, None if outcome.schedule else told))
    return Polishing(outcomes, sum(outcome.calls for outcome in done))


def _iterations(problem: Problem, noises: NoiseSet, size: int, calls: int) -> int:
    """For so many sample-calls, with the looks at all noises; what begins and ends a polish is taken off first."""
    begun = (min(FRAMED, noises.count) + 2 * noises.count) * problem.nfe
    each = iteration(_batch(problem), problem.nfe, size) + noises.count * problem.nfe / CHUNK
    return max(int((calls - begun) / each), 0)


def _batch(problem: Problem) -> int:
    return BATCH if problem.nfe <= SHORT else LATER
