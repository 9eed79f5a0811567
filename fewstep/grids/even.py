"""Time grids in closed form: N + 1 falling times for N calls of a process, t_max first.

| name | even in | source |
|---|---|---|
| ``logsnr`` | λ = log(α/σ) | Lu et al. 2022 (DPM-Solver) |
| ``time`` | t | Ho et al. 2020 |
| ``quadratic`` | √(t − t_zero) | Song et al. 2021 (DDIM) |
| ``edm`` | (σ/α)^{1/7} | Karras et al. 2022, eq. 5, ρ = 7 |

A fifth, ``score-optimal`` (Williams et al. 2024), is measured on a denoiser: `fewstep.grids.score_optimal`.
``logsnr`` wants finite λ at both ends, ``edm`` at the start; the others take pure noise and clean data too.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fewstep.errors import InvalidInput, UnknownName
from fewstep.processes import Process
from fewstep.tableau import MAX_CALLS

__all__ = ["Grid", "MEASURED", "edm", "logsnr", "named", "names", "quadratic", "suitable", "time"]

Grid = Callable[..., tuple[float, ...]]
Map = Callable[[Any], Any]  # of a time or an array of times
MEASURED = "score-optimal"  # needs a denoiser: `fewstep.grids.score_optimal`


def _place(process: Process, nfe: int, end: float | None, to: Map, back: Map) -> tuple[float, ...]:
    """N + 1 times, even in ``to(t)``, with exact ends."""
    if type(nfe) is not int or not 1 <= nfe <= MAX_CALLS:
        raise InvalidInput(f"a grid wants 1 <= nfe <= {MAX_CALLS} calls, got {nfe!r}")
    last = process.t_min if end is None else end
    if not process.t_zero <= last < process.t_max:
        raise InvalidInput(f"a grid's end lies in [{process.t_zero}, {process.t_max}), got {last}")
    inner = back(np.linspace(to(process.t_max), to(last), nfe + 1)[1:-1])
    return (float(process.t_max), *(float(t) for t in inner), float(last))


def time(process: Process, nfe: int, end: float | None = None) -> tuple[float, ...]:
    """Even in t.

    >>> from fewstep import processes
    >>> time(processes.VPLinear(), 2, end=0.5)
    (1.0, 0.75, 0.5)
    """
    return _place(process, nfe, end, lambda t: t, lambda u: u)


def quadratic(process: Process, nfe: int, end: float | None = None) -> tuple[float, ...]:
    """Even in √(t − t_zero): dense near the data.

    >>> from fewstep import processes
    >>> quadratic(processes.VPLinear(), 2, end=0.0)
    (1.0, 0.25, 0.0)
    """
    zero = process.t_zero
    return _place(process, nfe, end, lambda t: (t - zero) ** 0.5, lambda u: u * u + zero)


def logsnr(process: Process, nfe: int, end: float | None = None) -> tuple[float, ...]:
    """Even in λ. Wants both ends with finite λ.

    >>> from fewstep import processes
    >>> lam = [float(processes.VPLinear().log_snr(t)) for t in logsnr(processes.VPLinear(), 2)]
    >>> round(lam[0] - 2 * lam[1] + lam[2], 9)
    0.0
    """
    _want_finite(process, {"start": process.t_max, "end": process.t_min if end is None else end}, "logsnr")
    return _place(process, nfe, end, lambda t: process.log_snr(np.float64(t)), process.time)


def edm(process: Process, nfe: int, end: float | None = None, rho: float = 7.0) -> tuple[float, ...]:
    """Even in (σ/α)^{1/ρ}. Wants a start with α > 0; σ may be 0 at the end.

    >>> from fewstep import processes
    >>> [round(t, 3) for t in edm(processes.VPLinear(), 2, end=0.0)]
    [1.0, 0.293, 0.0]
    """
    _want_finite(process, {"start": process.t_max}, "edm")

    def to(t: float) -> float:
        return float(np.exp(-process.log_snr(np.float64(t)) / rho))

    return _place(process, nfe, end, to, lambda u: process.time(-rho * np.log(u)))


GRIDS: dict[str, Grid] = {"logsnr": logsnr, "time": time, "quadratic": quadratic, "edm": edm}


def names() -> list[str]:
    """Names of the grids.

    >>> names()
    ['logsnr', 'time', 'quadratic', 'edm']
    """
    return list(GRIDS)


def suitable(process: Process) -> list[str]:
    """Names of the grids that a process can have from t_max to t_min.

    >>> from fewstep import processes
    >>> suitable(processes.VPLinear()), suitable(processes.Flow())
    (['logsnr', 'time', 'quadratic', 'edm'], ['time', 'quadratic'])
    """
    lam = process.log_snr(np.array([process.t_max, process.t_min]))
    wants = {"logsnr": bool(np.isfinite(lam).all()), "edm": bool(np.isfinite(lam[0]))}
    return [name for name in GRIDS if wants.get(name, True)]


def named(name: str) -> Grid:
    """The grid of that name; raises `UnknownName`, and for "score-optimal", which is measured, says how.

    >>> from fewstep import processes
    >>> named("time")(processes.VPLinear(t_min=0.25), 3)
    (1.0, 0.75, 0.5, 0.25)
    """
    if name == MEASURED:
        raise InvalidInput(
            "a score-optimal grid is measured on a denoiser: fewstep.score_optimal.measure(denoiser, noise).grid()"
        )
    if name not in GRIDS:
        raise UnknownName("grid", name, GRIDS)
    return GRIDS[name]


def _want_finite(process: Process, times: dict[str, float], name: str) -> None:
    for which, t in times.items():
        if not process.t_zero <= t <= process.t_max or np.isfinite(process.log_snr(np.float64(t))):
            continue  # `_place` raises for an end outside the range
        raise InvalidInput(
            f"the {name} grid wants finite log-SNR at its {which}, got {process.log_snr(np.float64(t))} at t={t}; "
            f"choose another {'grid or t_max' if which == 'start' else 'grid or end'}"
        )
