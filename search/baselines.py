"""The hand-made competition: every deterministic solver on every grid, with and without lowering the last orders."""

import numpy as np

import fewstep
from fewstep import Schedule, grids, solvers
from fewstep.processes import Process

__all__ = ["baselines"]


def baselines(process: Process, nfe: int) -> dict[str, Schedule]:
    """Name -> schedule of exactly ``nfe`` calls, without doubles: all solvers made for such a process, on its grids.

    A name reads "solver grid", with "full-order" where the last orders stay. Of solvers that come to the same numbers
    the first is named.

    >>> from fewstep import processes
    >>> list(baselines(processes.VPLinear(), 1))[0]
    'ddim logsnr'
    """
    found: dict[str, Schedule] = {}
    seen: set[bytes] = set()
    for name in solvers.names():
        solver = solvers.named(name)
        if solver.stochastic or not solver.applies(process):
            continue
        for grid in grids.suitable(process):
            for lower, suffix in ((True, ""), (False, " full-order")):
                schedule = solver.schedule(process, nfe, grid, lower)
                tableau = fewstep.compile(schedule)
                numbers = np.concatenate([tableau.times, tableau.start, tableau.outputs.ravel()])
                same = (np.round(numbers, 9) + 0.0).tobytes()
                if same not in seen:
                    seen.add(same)
                    found[f"{name} {grid}{suffix}"] = schedule
    return found
