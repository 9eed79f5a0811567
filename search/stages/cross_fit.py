"""Cross-fitted times: replayed and even grids, with rows fitted on one half of the noises and measured on the other.

The score of a candidate is that of noises which its rows do not know, so a few noises are enough to choose among grids
(`fewstep.search.optimize.fit.cross_fit`). Replay takes the teacher's outputs for the student's: times that are best
there are often, not always, the best ones, so the grids that it started from stay in the race.
"""

from collections.abc import Iterator

import numpy as np

from fewstep import Schedule, Step
from fewstep.search.budget import Share
from fewstep.search.evaluation.pool import WorkerLost, groups
from fewstep.search.gaps import different
from fewstep.search.optimize import replay
from fewstep.search.optimize.fit import ORDER, cross_fit
from fewstep.search.state import BATCH, Batch, SearchState
from fewstep.values.origin import Origin
from fewstep.values.trial import Candidate, Observed, Rejected

__all__ = ["NAME", "Outcome", "calls", "cost", "measured", "propose"]

NAME = "cross-fit"
NOISES = 16  # of a candidate, half of which fit its rows
MOST = BATCH  # candidates

Outcome = Candidate | Observed | Rejected


def cost(state: SearchState, left: Share) -> Share:
    """As many candidates as there is room for."""
    each = calls(state)
    most = int(min(MOST, max(left.trials, 0), max(left.calls, 0) // each))
    return Share(most, most * each)


def propose(state: SearchState) -> Iterator[Batch]:
    """One batch: replayed times and those of the even grids, of lowest replay loss first."""
    count = state.budget.share(NAME).trials
    if count > 0:
        starts = _starts(state)[:count]
        yield Batch(len(starts), lambda: measured(state, starts, NAME), early_stopping=False)


def _starts(state: SearchState) -> list[Schedule]:
    space, trajectories = state.space, state.teacher.trajectories
    places = np.concatenate([replay.place(trajectories, space.even), space.even])
    places = places[different(places)]
    order = np.argsort(replay.loss(trajectories, places), kind="stable")
    return [space.build(places[i], [Step(order=ORDER)] * space.nfe) for i in order]


def measured(state: SearchState, starts: list[Schedule], stage: str) -> list[Outcome]:
    """The candidates of a stage, their rows fitted and measured crosswise, as observed by its trials."""
    noises, few = state.split.train, state.teacher.trajectories.first(_noises(state))
    objective = state.problem.objective
    tasks = groups(state.pool, starts)
    futures = [state.pool.submit(cross_fit, noises, few, task, objective, state.robust) for task in tasks]
    outcomes = list[Outcome]()
    for task, future in zip(tasks, futures, strict=True):
        try:
            found, saved = future.result()
        except WorkerLost as error:
            outcomes += [Rejected(Candidate(start, Origin(stage)), str(error)) for start in task]
            continue
        state.budget.share_calls(stage, saved)
        candidates = [(Candidate(each.schedule, Origin(stage)), each.observations) for each in found]
        outcomes += [Observed(candidate, observations, calls(state)) for candidate, observations in candidates]
    return outcomes


def _noises(state: SearchState) -> int:
    return min(NOISES, state.problem.noises)


def calls(state: SearchState) -> int:
    """Network calls of a candidate: two fits on half of the noises, two measurements on the other half."""
    return 2 * _noises(state) * state.problem.nfe
