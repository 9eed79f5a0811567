"""Fit: rows in closed form, on replayed times and on those of the best trials in turn.

The final stages share their trials: half of them at most go to the warm start, one to the time search, one or more to
the polish, and the rest to fits.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from fewstep import Schedule, Step
from fewstep.search.budget import Share
from fewstep.search.evaluation.pool import WorkerLost
from fewstep.search.gaps import different
from fewstep.search.optimize import replay
from fewstep.search.optimize.fit import ORDER, fit
from fewstep.search.stages import polish, time_search
from fewstep.search.state import Batch, SearchState
from fewstep.values.origin import Origin
from fewstep.values.trial import Candidate, Trial

__all__ = ["cost", "final_trials", "propose", "starts"]

NAME = "fit"
MOST, MOST_LIMITED = 8, 4  # trials of the final stages, at most a quarter of all; with a limit of calls
REPLAYED = 4  # best trials whose times are replayed, beside the even grids
UNMOVED = 2  # of them, those that are fitted on their own times too


def cost(state: SearchState, left: Share) -> Share:
    """The trials of all final stages, and the calls of as many fits as there is room for."""
    trials = min(MOST, state.problem.budget // 4)
    most = trials if math.isinf(left.calls) else min(trials, MOST_LIMITED)
    fits = int(min(most, max(left.calls, 0) // _calls_of_fit(state)))
    return Share(trials, fits * _calls_of_fit(state))


def final_trials(state: SearchState) -> int:
    """How many trials the final stages have, by the calls set aside for them."""
    return int(state.budget.share(NAME).calls // _calls_of_fit(state))


def propose(state: SearchState) -> Iterator[Batch]:
    """Fitted schedules, fewer where a path is lost with its worker."""
    others = len(state.of("warm-start")) + time_search.trials(state) + polish.trials(state)
    count = final_trials(state) - others
    if count <= 0:
        return
    train, trajectories = state.split.train, state.teacher.trajectories
    futures = [
        state.pool.submit(fit, train, trajectories, start, robust=state.robust) for start in starts(state, count)
    ]
    fitted = []
    for future in futures:
        with contextlib.suppress(WorkerLost):
            fitted.append(future.result().schedule)
    state.budget.spend(NAME, len(fitted) * train.count * state.problem.nfe)
    if fitted:
        yield Batch.of([Candidate(schedule, Origin(NAME)) for schedule in fitted], early_stopping=False)


def starts(state: SearchState, most: int) -> list[Schedule]:
    """What to fit: schedules of the warm start, then replayed times and the best trials' own in turn.

    Replay starts from the even grids and the best trials, most of which it takes to the same few places: each is fitted
    once, those of the lowest replay loss first. Time shifts are dropped, for rows are fitted to what the network says
    unshifted.
    """
    space, trajectories = state.space, state.teacher.trajectories
    best = _best(state, state.whole)
    steps = [[Step(order=ORDER)] * space.nfe] * len(space.even) + [list(schedule.steps) for schedule in best]
    logits = replay.place(trajectories, np.stack([*space.even, *map(space.logits, best)]))
    order = np.argsort(replay.loss(trajectories, logits), kind="stable")
    replayed = [space.build(logits[i], steps[i]) for i in order[different(logits[order])]]
    inherited = [replace(trial.schedule, shift=None) for trial in state.of("warm-start")]
    turns = [start for pair in zip_longest(replayed, best[:UNMOVED]) for start in pair if start is not None]
    return list(dict.fromkeys([*inherited, *turns]))[:most]


def _best(state: SearchState, trials: Sequence[Trial]) -> list[Schedule]:
    """The best different schedules, unshifted, that keep their meaning on other times."""
    searched = [trial for trial in trials if trial.origin.stage not in state.final]
    unshifted = [replace(t.schedule, shift=None) for t in searched if state.space.moves(t.schedule)]
    return list(dict.fromkeys(unshifted[: 2 * REPLAYED]))[:REPLAYED]


def _calls_of_fit(state: SearchState) -> int:
    """Network calls of a fit, of its trial and of a finalist."""
    noises = state.split.train.count + state.problem.noises + state.split.validation[0].count
    return noises * state.problem.nfe
