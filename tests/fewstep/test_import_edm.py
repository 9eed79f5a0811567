"""EDM's schedulers: their networks are preconditioned, which belongs to the denoiser and not to the schedule."""

import numpy as np
import pytest
import torch
from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler

from fewstep import models, sample
from fewstep.diffusers.importer import from_diffusers


def noise() -> torch.Tensor:
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(2))


def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return 0.5 * torch.sin(2 * x + t)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("kind", [EDMEulerScheduler, EDMDPMSolverMultistepScheduler])
def test_edm(kind: type, prediction: str) -> None:
    """Times are σ; the network is told (log σ)/4 of its own preconditioning, which belongs to the denoiser."""
    scheduler = kind(prediction_type=prediction)
    schedule = from_diffusers(scheduler, 6)
    assert schedule.fitted is None
    assert schedule.process.kind == "ve"
    scheduler.set_timesteps(6)
    np.testing.assert_allclose(schedule.times, scheduler.sigmas.double(), rtol=1e-6)

    def denoise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The preconditioned network as a denoiser (Karras et al. 2022, table 1)."""
        sigma, data = t[:, None], scheduler.config.sigma_data
        total = (sigma**2 + data**2).sqrt()
        out = sigma * data / total * (1 if prediction == "epsilon" else -1)
        return data**2 / total**2 * x + out * network(x / total, 0.25 * sigma.log())

    x = schedule.times[0] * noise()
    for t in scheduler.timesteps:
        x_in = scheduler.scale_model_input(x, t)
        x = scheduler.step(network(x_in, t), t, x, return_dict=False)[0]
    denoiser = models.from_callable(denoise, schedule.process, "data")
    got = sample(denoiser, schedule, schedule.times[0] / schedule.process.prior_std * noise())
    torch.testing.assert_close(got, x, rtol=1e-4, atol=1e-4)
