"""Grids even in one variable: N + 1 falling times for N calls of a process, t_max first.

| name | even in | source |
|---|---|---|
| ``logsnr`` | λ = log(α/σ) | Lu et al. 2022 (DPM-Solver) |
| ``time`` | t | Ho et al. 2020 |
| ``quadratic`` | √(t − t_zero) | Song et al. 2021 (DDIM) |
| ``edm`` | (σ/α)^{1/7} | Karras et al. 2022, eq. 5, ρ = 7 |

``edm`` wants finite λ at the start; the others take pure noise and clean data too. Where an end of ``logsnr`` is
infinite, the times between are even up to λ = ±`FINITE`, beyond which a state is noise, or data, to a part in 400.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.processes import Process
from fewstep.tableau import MAX_CALLS

__all__ = ["FINITE", "Grid", "edm", "logsnr", "place", "quadratic", "time"]

Grid = Callable[..., tuple[float, ...]]
Map = Callable[[Any], Any]  # of a time or an array of times
FINITE = 6.0  # |λ| in the place of an infinite one


def place(
    process: Process, nfe: int, end: float | None, to: Map, back: Map, shares: np.ndarray | None = None
) -> tuple[float, ...]:
    """N + 1 times at these ``shares`` (N+1,) of the way from start to end in ``to(t)``, by default even ones.

    The ends are exact. Raises `InvalidInput` for a bad ``nfe`` or ``end``.
    """
    if type(nfe) is not int or not 1 <= nfe <= MAX_CALLS:
        raise InvalidInput(f"a grid wants 1 <= nfe <= {MAX_CALLS} calls, got {nfe!r}")
    last = process.t_min if end is None else end
    if not process.t_zero <= last < process.t_max:
        raise InvalidInput(f"a grid's end lies in [{process.t_zero}, {process.t_max}), got {last}")
    first, final = to(process.t_max), to(last)
    places = np.linspace(first, final, nfe + 1) if shares is None else first + (final - first) * shares
    inner = back(places[1:-1])
    return (float(process.t_max), *(float(t) for t in inner), float(last))


def time(process: Process, nfe: int, end: float | None = None) -> tuple[float, ...]:
    """Even in t.

    >>> from fewstep import processes
    >>> time(processes.VPLinear(), 2, end=0.5)
    (1.0, 0.75, 0.5)
    """
    return place(process, nfe, end, lambda t: t, lambda u: u)


def quadratic(process: Process, nfe: int, end: float | None = None) -> tuple[float, ...]:
    """Even in √(t − t_zero): dense near the data.

    >>> from fewstep import processes
    >>> quadratic(processes.VPLinear(), 2, end=0.0)
    (1.0, 0.25, 0.0)
    """
    zero = process.t_zero
    return place(process, nfe, end, lambda t: (t - zero) ** 0.5, lambda u: u * u + zero)


def logsnr(process: Process, nfe: int, end: float | None = None) -> tuple[float, ...]:
    """Even in λ, between ±`FINITE` where an end is infinite.

    >>> from fewstep import processes
    >>> lam = [float(processes.VPLinear().log_snr(t)) for t in logsnr(processes.VPLinear(), 2)]
    >>> round(lam[0] - 2 * lam[1] + lam[2], 9)
    0.0
    >>> [round(t, 4) for t in logsnr(processes.Flow(), 4)]
    [1.0, 0.9526, 0.5, 0.0474, 0.0]
    """
    return place(process, nfe, end, lambda t: _finite(process.log_snr(np.float64(t))), process.time)


def _finite(lam: float) -> float:
    return lam if np.isfinite(lam) else math.copysign(FINITE, lam)


def edm(process: Process, nfe: int, end: float | None = None, rho: float = 7.0) -> tuple[float, ...]:
    """Even in (σ/α)^{1/ρ}. Wants a start with α > 0; σ may be 0 at the end.

    >>> from fewstep import processes
    >>> [round(t, 3) for t in edm(processes.VPLinear(), 2, end=0.0)]
    [1.0, 0.293, 0.0]
    """
    if not np.isfinite(process.log_snr(np.float64(process.t_max))):
        raise InvalidInput(
            f"the edm grid wants finite log-SNR at its start, got {process.log_snr(np.float64(process.t_max))} at "
            f"t={process.t_max}; choose another grid or t_max"
        )

    def to(t: float) -> float:
        return float(np.exp(-process.log_snr(np.float64(t)) / rho))

    return place(process, nfe, end, to, lambda u: process.time(-rho * np.log(u)))
