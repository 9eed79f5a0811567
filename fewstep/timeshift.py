"""Time shift for denoisers: the network's time fits each sample's state (`fewstep.steps.shift`)."""

from dataclasses import dataclass

import torch

from fewstep.models.base import Denoiser, Wrapped
from fewstep.steps.shift import MODES, TARGETS, TimeShift

__all__ = ["MODES", "TARGETS", "ShiftedDenoiser", "TimeShift", "pixel_variance", "wrap"]


def pixel_variance(data: torch.Tensor) -> float:
    """V: mean over clean samples ``data`` (n, ...) of the unbiased variance of each one's numbers.

    >>> pixel_variance(torch.tensor([[0.0, 2.0], [1.0, 1.0]]))
    1.0
    """
    return float(data.flatten(1).double().var(1).mean())


@dataclass(frozen=True)
class ShiftedDenoiser(Wrapped):
    """Time-shift wrapper: the denoiser inside is called at each sample's shifted time; see `wrap`."""

    shift: TimeShift

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.denoiser(x, self.shift.network_times(self.process, x, t))


def wrap(denoiser: Denoiser, shift: TimeShift) -> ShiftedDenoiser:
    """The denoiser with shifted times, for any sampling loop: mode "network" whatever the shift's own mode.

    It keeps the denoiser's conditions and guidance. `fewstep.sample` applies a schedule's time shift itself.
    Raises `InvalidSchedule` where the target does not fit the process, `InvalidInput` where a member of
    `fewstep.models.Denoiser` is missing.

    >>> from fewstep import models, processes, sample, solvers
    >>> gaussian = models.Gaussian(processes.VPLinear(), torch.zeros(8), 0.25 * torch.eye(8))
    >>> schedule = solvers.named("ddim").schedule(gaussian.process, nfe=4)
    >>> shifted = wrap(gaussian, TimeShift(window=0.5, cutoff=0.0, target="calibrated", variance=0.25))
    >>> sample(shifted, schedule, torch.ones(2, 8)).shape
    torch.Size([2, 8])
    """
    shifted = ShiftedDenoiser(denoiser, shift)
    shift.check(shifted.process)
    return shifted
