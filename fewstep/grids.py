"""Ways to place times: from a process and a number of calls N to N + 1 falling times, t_max first.

| name | even in | source |
|---|---|---|
| ``logsnr`` | λ = log(α/σ) | Lu et al. 2022 (DPM-Solver) |
| ``time`` | t | Ho et al. 2020 |
| ``quadratic`` | √(t − t_zero) | Song et al. 2021 (DDIM) |
| ``edm`` | (σ/α)^{1/7} | Karras et al. 2022, eq. 5, ρ = 7 |
"""

from collections.abc import Callable

import numpy as np

from fewstep.errors import InvalidInput, UnknownName
from fewstep.processes import Process

__all__ = ["Grid", "MAX_CALLS", "edm", "logsnr", "named", "names", "quadratic", "time"]

Grid = Callable[..., tuple[float, ...]]
MAX_CALLS = 1000  # a schedule longer than any teacher's is a mistake


def _place(process: Process, nfe: int, end: float | None, to: Callable, back: Callable) -> tuple[float, ...]:
    """N + 1 times, even in ``to(t)``, with exact ends."""
    if not isinstance(nfe, int) or not 1 <= nfe <= MAX_CALLS:
        raise InvalidInput(f"a grid wants 1 <= nfe <= {MAX_CALLS} calls, got {nfe!r}")
    last = process.t_min if end is None else end
    if not process.t_zero <= last < process.t_max:
        raise InvalidInput(f"a grid's end lies in [{process.t_zero}, {process.t_max}), got {last}")
    inner = back(np.linspace(to(process.t_max), to(last), nfe + 1)[1:-1])
    return (float(process.t_max), *(float(t) for t in inner), float(last))


def time(process: Process, nfe: int, end: float | None = None) -> tuple[float, ...]:
    """Even in t."""
    return _place(process, nfe, end, lambda t: t, lambda u: u)


def quadratic(process: Process, nfe: int, end: float | None = None) -> tuple[float, ...]:
    """Even in √(t − t_zero): dense near the data."""
    zero = process.t_zero
    return _place(process, nfe, end, lambda t: (t - zero) ** 0.5, lambda u: u * u + zero)


def logsnr(process: Process, nfe: int, end: float | None = None) -> tuple[float, ...]:
    """Even in λ. Wants ends with finite λ."""
    _want_finite(process, end, "logsnr")
    return _place(process, nfe, end, lambda t: process.log_snr(np.float64(t)), process.time)


def edm(process: Process, nfe: int, end: float | None = None, rho: float = 7.0) -> tuple[float, ...]:
    """Even in (σ/α)^{1/ρ}. Wants a start with α > 0."""
    _want_finite(process, process.t_min, "edm")

    def to(t: float) -> float:
        return float(np.exp(-process.log_snr(np.float64(t)) / rho))

    return _place(process, nfe, end, to, lambda u: process.time(-rho * np.log(u)))


GRIDS: dict[str, Grid] = {"logsnr": logsnr, "time": time, "quadratic": quadratic, "edm": edm}


def names() -> list[str]:
    """Names of the grids."""
    return list(GRIDS)


def named(name: str) -> Grid:
    """The grid of that name; raises `UnknownName`.

    >>> from fewstep import processes
    >>> named("time")(processes.VPLinear(t_min=0.25), 3)
    (1.0, 0.75, 0.5, 0.25)
    """
    if name not in GRIDS:
        raise UnknownName("grid", name, GRIDS)
    return GRIDS[name]


def _want_finite(process: Process, end: float | None, name: str) -> None:
    last = process.t_min if end is None else end
    ends = process.log_snr(np.array([process.t_max, last], dtype=np.float64))
    if not np.all(np.isfinite(ends)):
        raise InvalidInput(
            f"the {name} grid wants finite log-SNR at both ends, got {ends[0]} at t={process.t_max} and {ends[1]} "
            f"at t={last}; choose another grid or an end above {process.t_zero}"
        )
