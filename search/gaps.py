"""Times as λ-gaps and back, in finite numbers: log-SNR is clipped where a process reaches pure noise or clean data.

A search places times by their λ-gaps and replays trajectories in λ, and both want finite numbers. Beyond ±`MAX_LOG_SNR`
a state is noise, or data, to about a part in 400; times themselves keep their exact ends.

| symbol | meaning | shape |
|---|---|---|
| λ | log(α/σ) of the times, rising | (N+1,) |
| u | logits: the λ-gaps are proportional to exp(u) | (N,) |
"""

import numpy as np

from fewstep.processes import Process
from fewstep.steps.rules import MIN_GAP

__all__ = ["MAX_LOG_SNR", "different", "ends", "log_gaps", "log_snrs", "times", "times_of"]

MAX_LOG_SNR = 6.0  # where an end is infinite
NEAR = 0.1  # logits that differ by no more came to the same place


def ends(process: Process) -> tuple[float, float]:
    """λ at t_max and at t_min, finite.

    >>> from fewstep import processes
    >>> ends(processes.Flow()), ends(processes.VE(t_min=0.01, t_max=1.0))[0] == 0
    ((-6.0, 6.0), True)
    """
    first, last = process.log_snr(np.array([process.t_max, process.t_min]))
    return (
        float(first) if np.isfinite(first) else -MAX_LOG_SNR,
        float(last) if np.isfinite(last) else MAX_LOG_SNR,
    )


def log_snrs(process: Process, times: np.ndarray) -> np.ndarray:
    """λ of ``times`` (...,), none outside the `ends`; same shape."""
    clipped: np.ndarray = np.clip(process.log_snr(times), *ends(process))
    return clipped


def log_gaps(gaps: np.ndarray) -> np.ndarray:
    """u (N,) of λ-gaps (N,), with mean zero. A schedule's gaps are `MIN_GAP` or more, but for times beyond the `ends`,
    which count as that far apart.

    >>> log_gaps(np.array([1.0, 1.0, 0.0])).round(1)
    array([ 4.6,  4.6, -9.2])
    """
    logs = np.log(np.maximum(gaps, MIN_GAP))
    centred: np.ndarray = logs - logs.mean()
    return centred


def different(logits: np.ndarray) -> list[int]:
    """Which of the logits (M, N) came to a place of their own: the first of all that are near each other.

    >>> different(np.array([[0.0, 0.0], [0.05, -0.05], [1.0, -1.0]]))
    [0, 2]
    """
    kept = list[int]()
    for i in range(len(logits)):
        if all(np.abs(logits[i] - logits[k]).max() > NEAR for k in kept):
            kept.append(i)
    return kept


def times(process: Process, logits: np.ndarray) -> tuple[float, ...]:
    """Times (N+1,) that fall from t_max to t_min, their λ-gaps proportional to exp(``logits``), (N,).

    >>> from fewstep import processes
    >>> [round(t, 3) for t in times(processes.Flow(), np.zeros(3))]
    [1.0, 0.881, 0.119, 0.0]
    """
    return tuple(times_of(process, logits[None])[0].tolist())


def times_of(process: Process, logits: np.ndarray) -> np.ndarray:
    """The `times` (M, N+1) of many ``logits`` (M, N)."""
    first, last = ends(process)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    inner = first + (last - first) * np.cumsum(shares / shares.sum(axis=1, keepdims=True), axis=1)[:, :-1]
    placed = np.empty((len(logits), logits.shape[1] + 1))
    placed[:, 0], placed[:, -1] = process.t_max, process.t_min
    placed[:, 1:-1] = process.time(inner)
    return placed
