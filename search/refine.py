"""From choices to numbers: times placed by replay, rows fitted in closed form, from named grids and the best trials."""

from collections.abc import Sequence

from fewstep import Schedule, Step, grids
from fewstep.problem import Trial
from fewstep.trajectory import Trajectories
from search import replay
from search.fit import fit
from search.noises import NoiseSet
from search.pool.base import Pool
from search.space import Space

__all__ = ["placed", "refine"]

BEST = 4  # trials whose times start a refinement of their own
ORDER = 3
RIDGE = 1e-6  # weak: the rows of replayed times lie far from any compiled row


def placed(space: Space, trajectories: Trajectories) -> dict[str, Schedule]:
    """Named grid -> its times moved by replay, with third-order steps in data prediction. No network call."""
    steps = [Step("data", min(ORDER, i + 1)) for i in range(space.nfe)]
    found = {}
    for name in grids.names():
        start = Schedule(space.process, grids.named(name)(space.process, space.nfe), tuple(steps))
        found[name] = space.build(replay.place(trajectories, space.logits(start)), steps)
    return found


def refine(
    pool: Pool, space: Space, noises: NoiseSet, trajectories: Trajectories, trials: Sequence[Trial]
) -> list[Schedule]:
    """Fitted schedules: on replayed grids, and on the best trials' times, as they are and replayed.

    ``trajectories`` are the teacher's for ``noises``. Each of the results costs noises·nfe sample-calls.
    """
    scored = sorted((t.score.value, t.number, t.schedule) for t in trials if t.score is not None)
    best = [schedule for _, _, schedule in scored[:BEST]]
    moved = [space.build(replay.place(trajectories, space.logits(s)), list(s.steps)) for s in best]
    starts = list(dict.fromkeys([*placed(space, trajectories).values(), *best, *moved]))
    futures = [pool.submit(fit, noises, trajectories, start, RIDGE) for start in starts]
    return [future.result() for future in futures]
