"""The hand-made competition: every named solver on every grid, with and without lowering the last orders."""

from fewstep import Schedule, grids, solvers
from fewstep.processes import Process

__all__ = ["baselines"]


def baselines(process: Process, nfe: int) -> dict[str, Schedule]:
    """Name -> schedule, without doubles; a name reads "solver grid", with "full-order" where the last orders stay.

    >>> from fewstep import processes
    >>> list(baselines(processes.VPLinear(), 1))[0]
    'ddim logsnr'
    """
    found: dict[str, Schedule] = {}
    seen: set[str] = set()
    for solver in solvers.names():
        for grid in grids.names():
            for lower, suffix in ((True, ""), (False, " full-order")):
                schedule = solvers.named(solver).schedule(process, nfe, grid, lower)
                if schedule.digest not in seen:
                    seen.add(schedule.digest)
                    found[f"{solver} {grid}{suffix}"] = schedule
    return found
