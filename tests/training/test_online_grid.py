"""Online levels: closed form on the Gaussian, small steps, and no collapse where levels are few."""

import numpy as np
import pytest
import torch

import fewstep
from fewstep import grids, solvers
from fewstep.errors import InvalidInput
from fewstep.models import Gaussian, GaussianMixture
from fewstep.processes import VE, VPLinear
from training.online_grid import estimate, update

SPREAD = 0.5


def draws(d: int, count: int = 256) -> tuple[torch.Tensor, torch.Tensor]:
    """Two independent standard normal tensors (count, d)."""
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, count, d, generator=generator, dtype=torch.float64)
    return first, second


@pytest.mark.parametrize("process", [VE(), VPLinear()], ids=lambda p: p.kind)
def test_levels_come_to_rest_where_the_gaussians_arc_length_is_even(process: VE | VPLinear) -> None:
    """Small steps on a hundred levels end with asinh(σ/c) − σ/√(σ² + c²) even, to a fiftieth of its whole."""
    d = 8
    denoiser = Gaussian(process, torch.zeros(d), SPREAD**2 * torch.eye(d))
    data, noise = draws(d)
    levels = np.linspace(*process.log_snr(np.array([process.t_max, process.t_min])), 101)
    for _ in range(30):
        levels = update(levels, estimate(denoiser, levels, SPREAD * data, noise), rate=0.2)
        assert np.all(np.diff(levels) > 0)
    sigma = np.exp(-levels)
    length = np.arcsinh(sigma / SPREAD) - sigma / np.hypot(sigma, SPREAD)
    share = (length[0] - length) / (length[0] - length[-1])
    np.testing.assert_allclose(share[10:91:10], np.linspace(0.1, 0.9, 9), atol=0.02)


def test_few_levels_do_not_collapse() -> None:
    """Ten gaps that equalise their own costs serve DDIM on two narrow modes better than even log-SNR."""
    process = VE()
    means, covariances = torch.tensor([[-1.0], [1.0]]), 0.05**2 * torch.eye(1).expand(2, 1, 1)
    denoiser = GaussianMixture(process, torch.ones(2), means, covariances)
    noise, other = draws(1)
    data = means.double()[torch.arange(256) % 2] + 0.05 * other
    levels = -np.log(grids.logsnr(process, 10))
    for _ in range(100):
        levels = update(levels, estimate(denoiser, levels, data, noise), rate=0.1)
    times = tuple(float(t) for t in process.time(levels))
    times = (process.t_max, *times[1:-1], process.t_min)
    ddim, teacher = solvers.named("ddim"), solvers.named("dpmpp-3m").schedule(process, 200)
    ends = fewstep.sample(denoiser, teacher, noise)
    errors = [
        float((fewstep.sample(denoiser, ddim.schedule(process, 10, grid), noise) - ends).square().mean().sqrt())
        for grid in (lambda *_: times, "logsnr")
    ]
    assert errors[0] <= 0.7 * errors[1]


def test_a_step_goes_the_given_share_of_the_way() -> None:
    """λ ← γ λ* + (1 − γ) λ with the ends kept exactly."""
    levels, costs = np.array([-1.3, 0.1, 0.7, 2.9]), np.array([4.0, 1.0, 9.0])
    whole, part = update(levels, costs, rate=1.0), update(levels, costs, rate=0.25)
    np.testing.assert_allclose(part, 0.25 * whole + 0.75 * levels, rtol=1e-12)
    assert part[[0, -1]].tolist() == levels[[0, -1]].tolist()


@pytest.mark.parametrize(
    ("costs", "rate"),
    [([1.0, 1.0], 0.0), ([1.0, 1.0], 1.5), ([1.0], 0.1), ([1.0, -1.0], 0.1), ([1.0, np.nan], 0.1), ([0.0, 0.0], 0.1)],
)
def test_what_makes_no_sense_is_refused(costs: list[float], rate: float) -> None:
    """Rates outside (0, 1], and costs that are missing, negative, not finite or all zero."""
    with pytest.raises(InvalidInput):
        update(np.array([0.0, 1.0, 2.0]), np.array(costs), rate)
