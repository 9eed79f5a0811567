"""Baselines: every deterministic named solver on every grid, with and without lowering the last orders.

They are the competition that a found schedule is compared with, and where a search starts. The ranker chooses the next
generation by what those before it did, so that the best is among the first two dozen.
"""

from collections.abc import Iterator, Sequence

import numpy as np

import fewstep
from fewstep import Schedule, grids, solvers
from fewstep.processes import Process
from fewstep.search.budget import Share
from fewstep.search.state import BATCH, Batch, SearchState
from fewstep.values.origin import Origin
from fewstep.values.trial import Candidate

__all__ = ["baselines", "cost", "propose", "varied"]

NAME = "baselines"
SOLVER, GRID = 0, 1  # words of their names
RESERVED = 18  # trials whose calls are set aside: three generations, most of which are stopped early
RANKED = 32  # trials up to which the ranker orders anew what is left


def cost(state: SearchState, left: Share) -> Share:
    """Calls of three generations, most of which are stopped early; as trials they are like others."""
    most = (state.problem.sizes.baselines or RESERVED) + len(state.warm.own)
    return Share(0, min(most * state.calls_of_trial, max(left.calls, 0)))


def propose(state: SearchState) -> Iterator[Batch]:
    """Generations of baselines, at most half of the trials: the first on every grid, later ones of every solver. What
    is used today comes before them.

    An effort that takes few takes those that replay ranks first, each of another solver.
    """
    own = [Candidate(schedule, Origin(NAME, name)) for name, schedule in state.warm.own.items()]
    if own:
        yield Batch.of(own, early_stopping=False)
    few = state.problem.sizes.baselines
    schedules = {name: s.canonical() for name, s in baselines(state.space.process, state.problem.nfe).items()}
    names, most = list(schedules), few or max(state.budget.left.trials // 2, 1)
    while names and len(state.trials) < min(most + len(own), state.problem.budget):
        count = len(state.trials) - len(own)
        if count < RANKED:
            forecasts = state.ranker(state.trials, [schedules[name] for name in names])
            names = [names[i] for i in np.argsort(forecasts.mean, kind="stable")]
        generation = varied(names, SOLVER if count or few else GRID, min(BATCH, most - count))
        names = [name for name in names if name not in generation]
        yield Batch.of([Candidate(schedules[name], Origin(NAME, name)) for name in generation])


def baselines(process: Process, nfe: int) -> dict[str, Schedule]:
    """Name -> schedule of exactly ``nfe`` calls, without doubles: all solvers made for such a process, on its grids.

    A name reads "solver grid", with "full-order" where the last orders stay. Of solvers that come to the same numbers
    the first is named.

    >>> from fewstep import processes
    >>> list(baselines(processes.VPLinear(), 1))[0]
    'ddim logsnr'
    """
    schedules: dict[str, Schedule] = {}
    numbers: set[bytes] = set()
    suitable = grids.suitable(process)
    for name in solvers.names():
        solver = solvers.named(name)
        if solver.stochastic or not solver.applies(process):
            continue
        for grid in suitable:
            for lower, suffix in ((True, ""), (False, " full-order")):
                schedule = solver.schedule(process, nfe, grid, lower)
                key = _numbers(schedule)
                if key not in numbers:
                    numbers.add(key)
                    schedules[f"{name} {grid}{suffix}"] = schedule
    return schedules


def _numbers(schedule: Schedule) -> bytes:
    """What a schedule comes to, to nine digits."""
    tableau = fewstep.compile(schedule)
    numbers = np.concatenate([tableau.times, tableau.start, tableau.outputs.ravel()])
    return (np.round(numbers, 9) + 0.0).tobytes()


def varied(names: Sequence[str], word: int, count: int) -> list[str]:
    """``count`` of the names, the first ones of every solver or of every grid (``word``) before others of the same.

    >>> varied(["ddim time", "ddim edm", "deis-2 time", "deis-2 edm"], SOLVER, 3)
    ['ddim time', 'deis-2 time', 'ddim edm']
    """
    firsts = list({name.split()[word]: name for name in reversed(names)}.values())[::-1]
    return sorted(names, key=lambda name: (name not in firsts, names.index(name)))[:count]
