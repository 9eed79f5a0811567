"""The converged teacher: where each noise ends under the exact flow, and what happened on the way.

Fourth-order exponential multistep in data prediction, even in λ; from pure noise and to clean data, where λ is
infinite, in a step of first order each. On the digits mixture 96 calls end within 2e-4 of 1000 calls.
"""

from math import prod

import numpy as np
import torch

import fewstep
from fewstep import Schedule, Step, grids
from fewstep.models import Denoiser, from_callable
from fewstep.processes import Process
from fewstep.trajectory import Trajectories
from search.ends import log_snrs
from search.space import Space

__all__ = ["CALLS", "ends", "follow", "projection", "schedule", "trace"]

CALLS = 96
ORDER = 4
PROJECTED = 64  # replay residuals are linear, so wide states are stored as this many random projections


def schedule(process: Process, calls: int = CALLS) -> Schedule:
    """The teacher's own schedule with ``calls`` network calls."""
    first, last = process.log_snr(np.array([process.t_max, process.t_min]))
    if np.isfinite([first, last]).all():
        return Schedule(
            process, grids.logsnr(process, calls), tuple(Step(order=min(ORDER, i + 1)) for i in range(calls))
        )
    return Space(process, calls).build(np.zeros(calls), [Step(order=ORDER)] * calls)


def ends(denoiser: Denoiser, noise: torch.Tensor, calls: int = CALLS) -> torch.Tensor:
    """Where the flow takes ``noise`` (n, ...): clean ends of the same shape, for n·calls sample-calls."""
    return fewstep.sample(denoiser, schedule(denoiser.process, calls), noise)


def follow(denoiser: Denoiser, noise: torch.Tensor, calls: int = CALLS) -> Trajectories:
    """Stored trajectories of ``noise`` (n, ...) at calls + 1 log-SNRs, for n·(calls + 1) sample-calls."""
    return trace(denoiser, noise, calls)[0]


@torch.no_grad()
def trace(denoiser: Denoiser, noise: torch.Tensor, calls: int = CALLS) -> tuple[Trajectories, torch.Tensor]:
    """The same, with the ends (n, ...), which the trajectories hold by their projections only."""
    project, process, path = projection(prod(noise.shape[1:])), denoiser.process, schedule(denoiser.process, calls)
    outputs: list[np.ndarray] = []

    def seen(values: torch.Tensor) -> np.ndarray:
        flat: np.ndarray = values.flatten(1).double().cpu().numpy() @ project
        return flat

    def recorded(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        output = denoiser(x, t)
        outputs.append(seen(output))
        return output

    states, last = [], noise
    for last in fewstep.states(from_callable(recorded, process, prediction="data"), path, noise):
        states.append(seen(last))
    recorded(last, last.new_full((len(last),), path.times[-1]))
    return Trajectories(process, log_snrs(process, np.array(path.times)), np.stack(states), np.stack(outputs)), last


def projection(d: int) -> np.ndarray:
    """(d, p): the identity for narrow states, else a seeded random projection that keeps root mean squares."""
    if d <= PROJECTED:
        return np.eye(d)
    scaled: np.ndarray = np.random.default_rng(0).standard_normal((d, PROJECTED)) / np.sqrt(d)
    return scaled
