"""Grids of published noise levels: σ for flows, σ/α for other processes (`Process.sampler_sigma`).

| name | levels | source |
|---|---|---|
| ``sgm-uniform`` | of times even in t down to t_min, which is left out; then clean data | Stability's sgm, ComfyUI |
| ``linear-quadratic`` | linear down to 1 − 0.025, then quadratic | Polyak et al. 2024 (Movie Gen); Mochi |
| ``ays-sd15``, ``ays-sdxl``, ``ays-svd`` | tables for ten calls, log-linear between | Sabour et al. 2024 |
"""

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.grids.even import place, time
from fewstep.processes import Process

__all__ = ["TABLES", "ays_sd15", "ays_sdxl", "ays_svd", "linear_quadratic", "sgm_uniform", "time_of_level"]

THRESHOLD = 0.025  # share of the way that the linear half goes
NEAR = 0.02  # relative: how near a table's first level is to its process's largest

# https://research.nvidia.com/labs/toronto-ai/AlignYourSteps/howto.html, and the level where Stable Diffusion's table,
# or Stable Video Diffusion's training, ends
TABLES: dict[str, tuple[float, ...]] = {
    "ays-sd15": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.0292),
    "ays-sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.0292),
    "ays-svd": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
}


def time_of_level(process: Process, levels: np.ndarray) -> np.ndarray:
    """The times of noise levels (n,), as samplers count them; 0 is clean data.

    >>> from fewstep import processes
    >>> time_of_level(processes.VE(), np.array([2.5, 0.0])).tolist()
    [2.5, 0.0]
    """
    with np.errstate(divide="ignore"):
        plain = process.sampler_state == "plain"
        times = process.time_of_network(levels) if plain else process.time(-np.log(levels))
    timed: np.ndarray = np.where(levels > 0, times, process.t_zero)
    return timed


def sgm_uniform(process: Process, nfe: int, end: float | None = None) -> tuple[float, ...]:
    """Even in t down to t_min, which is left out; by default clean data is the last.

    >>> from fewstep import processes
    >>> sgm_uniform(processes.Discrete.linear_betas(), 3)
    (999.0, 666.0, 333.0, -1.0)
    """
    last = process.t_zero if end is None else end
    checked = place(process, nfe, last, lambda t: t, lambda u: u)
    inner = time(process, nfe)[1:-1]
    if inner and inner[-1] <= last:
        raise InvalidInput(f"the sgm-uniform grid of {nfe} calls is at {inner[-1]:g} before its end, {last:g}")
    return (checked[0], *inner, checked[-1])


def linear_quadratic(process: Process, nfe: int, end: float | None = None) -> tuple[float, ...]:
    """Half of the calls go a fortieth of the way in noise level, evenly; the others quadratically to the end.

    Wants a finite level at the start.

    >>> from fewstep import processes
    >>> [round(t, 4) for t in linear_quadratic(processes.Flow(), 4)]
    [1.0, 0.9875, 0.975, 0.725, 0.0]
    """
    if type(nfe) is not int or nfe < 2:
        return time(process, nfe, end)
    linear = nfe // 2
    rest = nfe - linear
    i = np.arange(nfe + 1)
    excess = linear - THRESHOLD * nfe
    curve = excess / (linear * rest**2)
    slope = THRESHOLD / linear - 2 * excess / rest**2
    shares = np.where(i < linear, i * THRESHOLD / linear, curve * i**2 + slope * i + curve * linear**2)
    _want_level(process, "linear-quadratic")
    return place(
        process,
        nfe,
        end,
        lambda t: float(process.sampler_sigma(np.float64(t))),
        lambda levels: time_of_level(process, levels),
        shares,
    )


def ays_sd15(process: Process, nfe: int, end: float | None = None) -> tuple[float, ...]:
    """Align Your Steps for Stable Diffusion 1.5, on a process whose largest σ/α is 14.6.

    >>> from fewstep import processes
    >>> levels = (0.7, 0.3, 1 / (1 + 14.615**2))
    >>> len(ays_sd15(processes.Discrete((0.999149, *levels)), 10))
    11
    """
    return _ays(process, nfe, end, "ays-sd15")


def ays_sdxl(process: Process, nfe: int, end: float | None = None) -> tuple[float, ...]:
    """Align Your Steps for Stable Diffusion XL, on a process whose largest σ/α is 14.6.

    >>> from fewstep import processes
    >>> len(ays_sdxl(processes.VE(t_max=14.615), 4))
    5
    """
    return _ays(process, nfe, end, "ays-sdxl")


def ays_svd(process: Process, nfe: int, end: float | None = None) -> tuple[float, ...]:
    """Align Your Steps for Stable Video Diffusion, on a process whose noise goes up to 700.

    >>> from fewstep import processes
    >>> [round(t, 3) for t in ays_svd(processes.VE(t_max=700.0), 10)[:3]]
    [700.0, 54.5, 15.886]
    """
    return _ays(process, nfe, end, "ays-svd")


def _ays(process: Process, nfe: int, end: float | None, name: str) -> tuple[float, ...]:
    """The table's levels, log-linear between them for other numbers of calls; start and end are the process's."""
    table = np.array(TABLES[name])
    most = float(process.sampler_sigma(np.float64(process.t_max)))
    if not abs(most - table[0]) <= NEAR * table[0]:
        raise InvalidInput(
            f"the {name} grid is for processes whose largest noise level is {table[0]:g}, got {most:g}: choose another"
        )
    times = place(process, nfe, end, lambda t: t, lambda u: u)
    levels = np.exp(np.interp(np.linspace(0, 1, nfe + 1), np.linspace(0, 1, len(table)), np.log(table)))
    inner = time_of_level(process, levels[1:-1])
    if nfe > 1 and not inner[-1] > times[-1]:
        raise InvalidInput(f"the {name} grid of {nfe} calls reaches time {inner[-1]:g} before its end, {times[-1]:g}")
    return (times[0], *(float(t) for t in inner), times[-1])


def _want_level(process: Process, name: str) -> None:
    if not np.isfinite(process.sampler_sigma(np.float64(process.t_max))):
        raise InvalidInput(
            f"the {name} grid wants a finite noise level at its start, and alpha is 0 at t={process.t_max}: choose "
            "another grid or t_max"
        )
