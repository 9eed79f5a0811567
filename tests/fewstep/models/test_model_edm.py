"""EDM's preconditioned networks against the published formula and against diffusers' EDM schedulers."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import EDMEulerScheduler

from fewstep import sample, solvers
from fewstep.models import folder
from fewstep.models.edm import Edm
from fewstep.processes import VE
from tests.fewstep.models.tiny import shaken, states, unet


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_a_preconditioned_network_is_read_as_its_scheduler_reads_it(save: Callable[..., Path], kind: str) -> None:
    """The folder's denoiser equals the scheduler's own preconditioning of inputs, times and outputs."""
    network, scheduler = shaken(unet()), EDMEulerScheduler(sigma_data=0.7, prediction_type=kind)
    denoiser = folder.open(save(network, scheduler))
    x, _ = states(1, 8, 8)
    for sigma in (0.002, 0.3, 5.0, 80.0):
        level = torch.tensor(sigma)
        fed, told = scheduler.precondition_inputs(sigma * x, level), scheduler.precondition_noise(level)
        with torch.no_grad():
            wanted = scheduler.precondition_outputs(sigma * x, network(fed, told).sample, level)
            got = denoiser(sigma * x, torch.full((5,), sigma))
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def test_the_ideal_network_denoises_exactly() -> None:
    """For Gaussian data of standard deviation d the ideal F is zero: D = d²/(σ² + d²)·x (Karras et al. 2022, eq. 7)."""
    reading = Edm(VE(), sigma_data=0.5)
    x, t = torch.randn(4, 3, dtype=torch.float64), torch.tensor([0.01, 0.5, 3.0, 80.0], dtype=torch.float64)
    wanted = x * (0.25 / (t**2 + 0.25))[:, None]
    torch.testing.assert_close(reading.data(torch.zeros_like(x), x, t), wanted, rtol=1e-12, atol=0)


def test_the_input_has_unit_variance_and_the_target_too() -> None:
    """c_in and c_out are what makes both so, at every level: the network's input and ideal output have variance 1."""
    law, generator = VE(), torch.Generator().manual_seed(0)
    clean, noise = 0.5 * torch.randn(200_000, generator=generator), torch.randn(200_000, generator=generator)
    reading = Edm(law, sigma_data=0.5)
    for sigma in (0.05, 0.5, 10.0):
        x, t = (clean + sigma * noise)[:, None], torch.full((len(clean),), sigma)
        fed, told = reading.inputs(x, t)
        assert fed.var().item() == pytest.approx(1.0, abs=0.01)
        assert told[0].item() == pytest.approx(torch.tensor(sigma).log().item() / 4)
        skip, out = reading.data(torch.zeros_like(x), x, t), reading.data(torch.ones_like(x), x, t)
        target = (clean[:, None] - skip) / (out - skip)
        assert target.var().item() == pytest.approx(1.0, abs=0.01)


def test_a_preconditioned_folder_samples(save: Callable[..., Path]) -> None:
    """From sigma_max to sigma_min, where fewstep.json says so and the scheduler is another."""
    path = save(shaken(unet()), EDMEulerScheduler())
    (path / "scheduler" / "scheduler_config.json").unlink()
    law = '{"kind": "ve", "t_min": 0.01, "t_max": 20.0}'
    (path / "fewstep.json").write_text(f'{{"preconditioning": "edm", "process": {law}, "prediction": "noise"}}')
    denoiser = folder.open(path)
    assert denoiser.process == VE(t_min=0.01, t_max=20.0)
    x, _ = states(1, 8, 8)
    made = sample(denoiser, solvers.named("dpmpp-2m").schedule(denoiser.process, 5), x)
    assert made.isfinite().all()
