"""An exact denoiser in any dimension, and samples of a schedule with time shift."""

from dataclasses import replace

import torch

from fewstep import Schedule, sample
from fewstep.models import Denoiser, Unconditional
from fewstep.models.base import per_sample
from fewstep.processes import Process
from fewstep.timeshift import TimeShift


class Isotropic(Unconditional):
    """The exact denoiser of N(0, V I) in any dimension."""

    def __init__(self, process: Process, variance: float) -> None:
        self.process, self.variance = process, variance

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        alpha, sigma = per_sample(self.process.alpha(t), x), per_sample(self.process.sigma(t), x)
        return alpha * self.variance / (alpha**2 * self.variance + sigma**2) * x


def run(
    denoiser: Denoiser, schedule: Schedule, shift: TimeShift, noise: torch.Tensor, fresh: torch.Tensor | None = None
) -> torch.Tensor:
    """Samples of the schedule with this shift."""
    return sample(denoiser, replace(schedule, shift=shift), noise, fresh=fresh)
