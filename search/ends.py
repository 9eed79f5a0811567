"""Log-SNRs of times where a process begins in pure noise or ends in clean data: the infinite ends stand at ±`REACH`.

Searching places times by their λ-gaps and replays trajectories in λ, so both want finite numbers. Beyond the reach a
state is noise, or data, to about a part in 400; times themselves keep their exact ends.
"""

import numpy as np

from fewstep.processes import Process

__all__ = ["REACH", "ends", "log_snrs"]

REACH = 6.0


def ends(process: Process) -> tuple[float, float]:
    """λ at t_max and at t_min, finite.

    >>> from fewstep import processes
    >>> ends(processes.Flow()), ends(processes.VE(t_min=0.01, t_max=1.0))[0] == 0
    ((-6.0, 6.0), True)
    """
    first, last = process.log_snr(np.array([process.t_max, process.t_min]))
    return (float(first) if np.isfinite(first) else -REACH, float(last) if np.isfinite(last) else REACH)


def log_snrs(process: Process, times: np.ndarray) -> np.ndarray:
    """λ of ``times`` (...,), none outside the `ends`; same shape."""
    clipped: np.ndarray = np.clip(process.log_snr(times), *ends(process))
    return clipped
