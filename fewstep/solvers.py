"""The named solvers, as one registry of small encodings in the schedule space.

A solver is a ladder of steps: rung k is the step used where k outputs are at hand. The order climbs the ladder at the
start, and where ``lower_order_final`` is on it descends again over the last steps (order ≤ calls left).
"""

from dataclasses import dataclass

import numpy as np

from fewstep import grids
from fewstep.errors import UnknownName
from fewstep.processes import Process
from fewstep.schedule import Schedule, Step

__all__ = ["Solver", "named", "names"]

FEW_CALLS = 15  # below this, diffusers lowers the order of the last steps


@dataclass(frozen=True)
class Solver:
    """A named solver: ``ladder[k-1]`` is its step of order k, ``source`` the paper.

    >>> [step.order for step in named("dpm-3m").ladder]
    [1, 2, 3]
    """

    name: str
    ladder: tuple[Step, ...]
    source: str

    @property
    def order(self) -> int:
        """Highest order of its steps, so the outputs they use.

        The order of convergence, except for the published third-order DPM-Solvers: their halved second derivative
        leaves an error of second order with a smaller constant.
        """
        return len(self.ladder)

    def schedule(
        self, process: Process, nfe: int, grid: str = "logsnr", lower_order_final: bool | None = None
    ) -> Schedule:
        """The solver's schedule with ``nfe`` calls; ``lower_order_final`` by default as diffusers: where nfe < 15.

        The order is 1 where log-SNR is infinite. Raises `InvalidInput` for a bad ``nfe`` and `UnknownName` for a grid.

        >>> from fewstep import processes
        >>> [step.order for step in named("dpmpp-3m").schedule(processes.VPLinear(), nfe=5).steps]
        [1, 2, 3, 2, 1]
        """
        times = grids.named(grid)(process, nfe)
        lower = nfe < FEW_CALLS if lower_order_final is None else lower_order_final
        finite = np.isfinite(process.log_snr(np.array(times)))
        steps = []
        for i in range(nfe):
            usable = int(finite[: i + 1].sum()) if finite[i] and finite[i + 1] else 1
            order = min(self.order, usable, nfe - i if lower else self.order)
            steps.append(self.ladder[order - 1])
        return Schedule(process, times, tuple(steps))


def _multistep(prediction: str, order: int) -> tuple[Step, ...]:
    """DPM-Solver's own multistep coefficients: second order scaled by bh2, third with half the second derivative."""
    rungs = (Step(prediction), Step(prediction, 2, scale="bh2"), Step(prediction, 3, second=0.5))
    return rungs[:order]


SOLVERS = {
    solver.name: solver
    for solver in (
        Solver("ddim", _multistep("data", 1), "Song et al. 2021, eq. 12"),
        Solver("dpm-2m", _multistep("noise", 2), "Lu et al. 2022 (DPM-Solver), multistep"),
        Solver("dpm-3m", _multistep("noise", 3), "Lu et al. 2022 (DPM-Solver), multistep"),
        Solver("dpmpp-2m", _multistep("data", 2), "Lu et al. 2022 (DPM-Solver++), algorithm 2"),
        Solver("dpmpp-3m", _multistep("data", 3), "Lu et al. 2022 (DPM-Solver++), third order"),
    )
}


def names() -> list[str]:
    """Names of all solvers.

    >>> names()
    ['ddim', 'dpm-2m', 'dpm-3m', 'dpmpp-2m', 'dpmpp-3m']
    """
    return list(SOLVERS)


def named(name: str) -> Solver:
    """The solver of that name; raises `UnknownName`, which lists the known ones.

    >>> named("dpmpp-2m").order
    2
    """
    if name not in SOLVERS:
        raise UnknownName("solver", name, SOLVERS)
    return SOLVERS[name]
