"""From choices to numbers: times placed by replay, rows fitted in closed form, from named grids and the best trials."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from fewstep import Schedule, Step, grids
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.evaluation.pool import Pool, WorkerLost
from fewstep.search.optimize import replay
from fewstep.search.optimize.fit import fit
from fewstep.search.space import Space
from fewstep.trajectory import Trajectories
from fewstep.values.trial import Trial

__all__ = ["refine"]

BEST, OWN = 4, 2  # trials whose times start a refinement; those of them that are fitted as they are, too
ORDER = 3
NEAR = 0.1  # λ-gaps that differ by no more than this share came to the same place


def refine(
    pool: Pool,
    space: Space,
    noises: NoiseSet,
    trajectories: Trajectories,
    trials: Sequence[Trial],
    most: int,
    nested: Sequence[Schedule] = (),
) -> list[Schedule]:
    """At most ``most`` fitted schedules: from ``nested`` ones as they are, then on replayed times and on the best
    trials' times as they are, in turn; time shifts are dropped, for rows are fitted to what the network says unshifted.

    Replay starts from named grids and the best trials, most of which it takes to the same few places: each is fitted
    once, those of the lowest replay loss first. ``trajectories`` are the teacher's for ``noises``. Each of the results
    costs noises·nfe sample-calls; one whose path diverges is among them.
    """
    times = [grids.named(name)(space.process, space.nfe) for name in grids.suitable(space.process)]
    even = [Schedule(space.process, row, (Step(),) * space.nfe) for row in times]
    scored = sorted(
        (t.score.value, t.number, t.schedule) for t in trials if t.score is not None and space.moves(t.schedule)
    )
    best = list(dict.fromkeys(replace(schedule, shift=None) for _, _, schedule in scored[: 2 * BEST]))[:BEST]
    steps = [[Step(order=ORDER)] * space.nfe] * len(even) + [list(schedule.steps) for schedule in best]
    logits = replay.place(trajectories, np.stack([space.logits(schedule) for schedule in (*even, *best)]))
    places = list[int]()
    for i in np.argsort(replay.loss(trajectories, logits), kind="stable").tolist():
        if all(np.abs(logits[i] - logits[k]).max() > NEAR for k in places):
            places.append(i)
    moved = [space.build(logits[i], steps[i]) for i in places]
    unshifted = [replace(schedule, shift=None) for schedule in nested]
    turns = [start for pair in zip_longest(moved, best[:OWN]) for start in pair if start is not None]
    starts = list(dict.fromkeys([*unshifted, *turns]))[:most]
    futures = [pool.submit(fit, noises, trajectories, start) for start in starts]
    fitted = []
    for future in futures:
        with contextlib.suppress(WorkerLost):
            fitted.append(future.result().schedule)
    return fitted
