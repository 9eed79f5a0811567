"""A schedule as plain numbers, which run without this library or any solver."""

from typing import Any

from fewstep import processes
from fewstep.export.shift import refuse_shift
from fewstep.schedule import Schedule, compile

__all__ = ["FORMAT", "VERSION", "portable"]

FORMAT = "fewstep.tableau"
VERSION = 2


def portable(schedule: Schedule) -> dict[str, Any]:
    """Plain JSON values from which ten lines of NumPy or torch sample (docs/using.md).

    Raises `InvalidSchedule` where the schedule has a time shift.

    | entry | shape | meaning |
    |---|---|---|
    | ``calls`` | | N, network calls |
    | ``start_scale`` | | y_0 = start_scale · standard normal noise |
    | ``network_times`` | (N,) | the network's time in call i, in the process's units |
    | ``alpha``, ``sigma`` | (N,) | α and σ at the network's times: D = (y − sigma·ε)/alpha |
    | ``start``, ``outputs``, ``noise`` | (N,), (N, N), (N, K) | weights of y_0, D_j, z_k in state y_{i+1} |
    | ``times`` | (N+1,) | time of each state |
    | ``guidance`` | (N,) | guidance scale of each call, where the schedule sets them; the version is then 2, else 1 |
    | ``process``, ``schedule`` | | origin: the process and the schedule's digest |

    >>> from fewstep import processes, solvers
    >>> numbers = portable(solvers.named("ddim").schedule(processes.Flow(), nfe=2))
    >>> numbers["start"], numbers["outputs"]
    ([0.5, 0.0], [[0.5, 0.0], [0.0, 1.0]])
    """
    refuse_shift(schedule)
    tableau = compile(schedule)
    process = schedule.process
    return {
        "format": FORMAT,
        "version": 1 if tableau.guidance is None else VERSION,
        "calls": tableau.calls,
        "start_scale": float(process.prior_std),
        "alpha": process.alpha(tableau.network_times).tolist(),
        "sigma": process.sigma(tableau.network_times).tolist(),
        **tableau.to_dict(),
        "process": processes.to_dict(process),
        "schedule": schedule.digest,
    }
