"""A schedule as plain numbers: whoever reads them needs neither this library nor any solver."""

from typing import Any

from fewstep import processes
from fewstep.export.shift import refuse_shift
from fewstep.schedule import Schedule, compile

__all__ = ["FORMAT", "VERSION", "portable"]

FORMAT = "fewstep.tableau"
VERSION = 1


def portable(schedule: Schedule) -> dict[str, Any]:
    """Plain JSON values that are enough to sample: ten lines of NumPy or torch consume them (docs/using.md).

    Raises `InvalidSchedule` where the schedule has a time shift.

    | entry | shape | meaning |
    |---|---|---|
    | ``calls`` | | N, network calls |
    | ``start_scale`` | | y_0 = start_scale · standard normal noise |
    | ``network_times`` | (N,) | what call i tells the network, in the process's units |
    | ``alpha``, ``sigma`` | (N,) | scale of data and noise that the network is told of: D = (y − sigma·ε)/alpha |
    | ``start``, ``outputs``, ``noise`` | (N,), (N, N), (N, K) | weights of y_0, D_j, z_k in state y_{i+1} |
    | ``times`` | (N+1,) | time of each state |
    | ``process``, ``schedule`` | | where it comes from: the noise law and the schedule's digest |

    >>> from fewstep import processes, solvers
    >>> numbers = portable(solvers.named("ddim").schedule(processes.Flow(), nfe=2))
    >>> numbers["start"], numbers["outputs"]
    ([0.5, 0.0], [[0.5, 0.0], [0.0, 1.0]])
    """
    refuse_shift(schedule)
    tableau, process = compile(schedule), schedule.process
    return {
        "format": FORMAT,
        "version": VERSION,
        "calls": tableau.calls,
        "start_scale": float(process.prior_std),
        "alpha": process.alpha(tableau.network_times).tolist(),
        "sigma": process.sigma(tableau.network_times).tolist(),
        **tableau.to_dict(),
        "process": processes.to_dict(process),
        "schedule": schedule.digest,
    }
