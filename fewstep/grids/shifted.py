"""Grids of flow pipelines: even in unshifted time, then shifted towards the noise, or stretched to a terminal level.

    σ = s·u / (1 + (s − 1)·u),  u even from 1 to 0;  s = e^μ where a pipeline computes μ from the size of the picture

Source: Esser et al. 2024, eq. 23; μ as in the pipelines of Flux (`flow_mu`) and Flux.2 (`empirical_mu`). On
``Flow(shift=s)`` itself the grid ``time`` is the shift s.
"""

import numpy as np

from fewstep.checks import number
from fewstep.errors import InvalidInput
from fewstep.grids.even import Grid, place, time
from fewstep.processes import Process

__all__ = ["empirical_mu", "flow_mu", "shifted", "stretched"]

TERMINAL = 0.1  # LTX-Video's
MOST = 1000.0


def shifted(shift: float) -> Grid:
    """The grid of a static or dynamic shift, for flows: ``shifted(math.exp(mu))`` for a pipeline's μ.

    Raises `InvalidInput` for a shift outside [0.001, 1000]; the grid itself for a process that is no flow.

    >>> from fewstep import processes
    >>> shifted(3.0)(processes.Flow(), 4)
    (1.0, 0.9, 0.75, 0.5, 0.0)
    """
    s = number("shift", shift)
    if not 1 / MOST <= s <= MOST:
        raise InvalidInput(f"a shift lies between {1 / MOST:g} and {MOST:g}, got {shift}")

    def grid(process: Process, nfe: int, end: float | None = None) -> tuple[float, ...]:
        _want_flow(process, f"shift-{s:g}")

        def unshifted(t: float) -> float:
            level = float(process.sampler_sigma(np.float64(t)))
            return level / (s - (s - 1) * level)

        return place(process, nfe, end, unshifted, lambda u: process.time_of_network(s * u / (1 + (s - 1) * u)))

    return grid


def stretched(process: Process, nfe: int, end: float | None = None, terminal: float = TERMINAL) -> tuple[float, ...]:
    """Even in t, with 1 − σ stretched so that the last call is at σ = ``terminal``, as LTX-Video's ``shift_terminal``.

    >>> from fewstep import processes
    >>> [round(t, 3) for t in stretched(processes.Flow(), 4)]
    [1.0, 0.7, 0.4, 0.1, 0.0]
    """
    _want_flow(process, "stretched")
    if not 0 < terminal < 1:
        raise InvalidInput(f"a terminal noise level lies between 0 and 1, got {terminal}")
    times = time(process, nfe, end)
    if nfe == 1:
        return times
    clean = 1 - process.sampler_sigma(np.array(times[1:-1]))
    inner = process.time_of_network(1 - clean * (1 - terminal) / clean[-1])
    if inner[-1] <= times[-1]:
        raise InvalidInput(f"the stretched grid's last call is at time {inner[-1]:g}, before its end, {times[-1]:g}")
    return (times[0], *(float(t) for t in inner), times[-1])


def flow_mu(
    tokens: int, base_tokens: int = 256, most_tokens: int = 4096, base_shift: float = 0.5, max_shift: float = 1.15
) -> float:
    """μ of a picture of so many tokens: linear between those of two sizes; by default as Flux.

    >>> import math
    >>> flow_mu(4096), round(math.exp(flow_mu(4096)), 3)
    (1.15, 3.158)
    """
    return base_shift + (max_shift - base_shift) * (tokens - base_tokens) / (most_tokens - base_tokens)


def empirical_mu(tokens: int, calls: int) -> float:
    """μ of a picture of so many tokens and so many calls, as Flux.2 computes it.

    >>> round(empirical_mu(4096, 8), 4)
    2.2679
    """
    many = 0.00016927 * tokens + 0.45666666
    if tokens > 4300:
        return many
    few = 8.73809524e-05 * tokens + 1.89833333
    return many + (few - many) * (200 - calls) / 190


def _want_flow(process: Process, name: str) -> None:
    if process.sampler_state != "plain":
        raise InvalidInput(f"the {name} grid is for flows, got {process.kind}: choose another grid")
