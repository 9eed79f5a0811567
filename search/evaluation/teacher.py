"""The converged teacher: where each noise ends under the exact flow, and what happened on the way.

Fourth-order exponential multistep in data prediction with a UniC corrector; from pure noise and to clean data, where λ
is infinite, in a step of first order each. Times are even in six parts of λ and four of the share of noise
σ/(α + σ) = 1/(1 + e^λ): where noise and data are of one size, and modes part, they lie two and a half times as dense as
at the ends. `docs/search.md` says how near this comes to convergence.
"""

import numpy as np
import torch

import fewstep
from fewstep import Schedule, Step
from fewstep.models import Denoiser, from_callable
from fewstep.processes import Process
from fewstep.search.gaps import ends as reach
from fewstep.search.gaps import log_snrs
from fewstep.search.projection import PROJECTED, projected
from fewstep.search.space import Space
from fewstep.trajectory import Trajectories
from fewstep.values.cost_card import TEACHER_CALLS

__all__ = ["CALLS", "PROJECTED", "ends", "follow", "schedule", "trace"]

CALLS = TEACHER_CALLS
ORDER = 4
SHARE = 0.4  # of the times that go by the share of noise
FINE = 4001  # log-SNRs at which the two are tabulated


def schedule(process: Process, calls: int = CALLS) -> Schedule:
    """The teacher's own schedule with ``calls`` network calls."""
    first, last = reach(process)
    fine = np.linspace(first, last, FINE)
    noise = 1 / (1 + np.exp(fine))
    along = (1 - SHARE) * (fine - first) / (last - first) + SHARE * (noise[0] - noise) / (noise[0] - noise[-1])
    levels = np.interp(np.linspace(0, 1, calls + 1), along, fine)
    space = Space(process, calls)
    return space.build(space.spread(np.diff(levels)), [Step(order=ORDER, corrector=ORDER + 1)] * calls)


def ends(denoiser: Denoiser, noise: torch.Tensor, calls: int = CALLS) -> torch.Tensor:
    """Where the flow takes ``noise`` (n, ...): clean ends of the same shape, for n·calls network calls."""
    return fewstep.sample(denoiser, schedule(denoiser.process, calls), noise)


def follow(denoiser: Denoiser, noise: torch.Tensor, calls: int = CALLS) -> Trajectories:
    """Stored trajectories of ``noise`` (n, ...) at calls + 1 log-SNRs, for n·(calls + 1) network calls."""
    return trace(denoiser, noise, calls)[0]


@torch.no_grad()
def trace(
    denoiser: Denoiser, noise: torch.Tensor, calls: int = CALLS, beside: Denoiser | None = None
) -> tuple[Trajectories, torch.Tensor]:
    """The same, with the ends (n, ...), which the trajectories hold by their projections only; ``beside`` is the
    denoiser without guidance, whose outputs at the same states are then recorded for as many calls more."""
    process, path = denoiser.process, schedule(denoiser.process, calls)
    outputs: list[np.ndarray] = []
    unguided: list[np.ndarray] = []

    def record(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        output = denoiser(x, t)
        outputs.append(projected(output))
        if beside is not None:
            unguided.append(projected(beside(x, t)))
        return output

    states, last = [], noise
    for last in fewstep.states(from_callable(record, process, prediction="data"), path, noise):
        states.append(projected(last))
    record(last, last.new_full((len(last),), path.times[-1]))
    without = None if beside is None else np.stack(unguided)
    levels = log_snrs(process, np.array(path.times))
    return Trajectories(process, levels, np.stack(states), np.stack(outputs), without), last
