"""Lists of sigmas or time steps, as people post them, as times of a process."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from fewstep.checks import number
from fewstep.errors import InvalidInput
from fewstep.grids.levels import time_of_level
from fewstep.processes import Process

__all__ = ["posted_sigmas", "posted_timesteps"]

START = 2e-3  # relative: a first sigma so near to the process's largest is that, rounded


def posted_sigmas(process: Process, sigmas: Sequence[float]) -> tuple[float, ...]:
    """The times (N+1,) of falling noise levels as samplers of k-diffusion, ComfyUI and diffusers count them.

    That is σ for flows and σ/α for others (`Process.sampler_sigma`). A first level that is the process's largest but
    for rounding is t_max; 0 is clean data. Raises `InvalidInput` where they do not fall or leave the process's range.

    >>> from fewstep import processes
    >>> posted_sigmas(processes.Flow(shift=3.0), [1.0, 0.75, 0.0])
    (1.0, 0.5, 0.0)
    """
    levels = _falling("sigmas", sigmas)
    if levels[-1] < 0:
        raise InvalidInput(f"sigmas end at 0 or above, got {levels[-1]:g}")
    most = float(process.sampler_sigma(np.float64(process.t_max)))
    if levels[0] > most * (1 + START):
        raise InvalidInput(
            f"the first sigma, {levels[0]:g}, is larger than any of this {process.kind} process, {most:g}: the list is "
            "another model's, or the process is another"
        )
    times = time_of_level(process, levels)
    if np.isfinite(most) and levels[0] >= most * (1 - START):
        times[0] = process.t_max
    return tuple(np.clip(times, process.t_zero, process.t_max).tolist())


def posted_timesteps(process: Process, timesteps: Sequence[float]) -> tuple[float, ...]:
    """The times (N+1,) of calls at these time steps, as networks take them, and of clean data after the last.

    Time steps are in the units of the process's networks: indices of a table, σ · 1000 for flows. Raises `InvalidInput`
    where they do not fall or leave the process's range.

    >>> from fewstep import processes
    >>> posted_timesteps(processes.Flow(shift=3.0), [1000, 750])
    (1.0, 0.5, 0.0)
    """
    scale = process.default_time_scale or 1.0
    network_times = _falling("timesteps", timesteps) / scale
    times = process.time_of_network(network_times)
    if times[0] > process.t_max or times[-1] <= process.t_zero:
        low, high = (float(process.network_time(t)) * scale for t in (process.t_zero, process.t_max))
        raise InvalidInput(
            f"time steps of this {process.kind} process lie above {low:g} and up to {high:g}, got {timesteps[0]:g} to "
            f"{timesteps[-1]:g}"
        )
    return (*(float(t) for t in times), float(process.t_zero))


def _falling(name: str, values: Sequence[float]) -> np.ndarray:
    numbers = [number(f"{name}[{i}]", value) for i, value in enumerate(values)]
    least = 2 if name == "sigmas" else 1
    if len(numbers) < least or any(after >= before for before, after in pairwise(numbers)):
        raise InvalidInput(f"{name} are {least} or more falling numbers, got {str(list(values))[:80]}")
    return np.array(numbers, dtype=np.float64)
