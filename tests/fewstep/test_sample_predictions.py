"""The sampling loop and what networks predict: conversion within the sums, where it fails, and no wait for a device."""

import pytest
import torch

from fewstep import models, sample, solvers
from fewstep.errors import InvalidInput
from fewstep.processes import Flow, VPLinear

LAW = VPLinear()


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.mark.parametrize("prediction", ["noise", "velocity", "flow"])
@pytest.mark.parametrize("name", ["dpmpp-2m", "dpm-2m", "unipc-3-bh2", "ddpm"])
def test_what_a_network_predicts_is_converted_within_the_sums(make_mixture, name: str, prediction: str) -> None:
    """The function that `from_callable` wraps gives the samples of the data predictions made of it, to rounding."""
    mixture = make_mixture(LAW)

    def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        data, (alpha, sigma) = mixture(x, t), (of(t).reshape(-1, 1) for of in (LAW.alpha, LAW.sigma))
        eps = (x - alpha * data) / sigma
        return {"noise": eps, "velocity": alpha * eps - sigma * data, "flow": eps - data}[prediction]

    schedule = solvers.named(name).schedule(LAW, 6)
    ends = [
        sample(denoiser, schedule, noise(4, 3), torch.Generator().manual_seed(1))
        for denoiser in (models.from_callable(network, LAW, prediction), mixture)
    ]
    torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-9)


def test_a_noise_prediction_says_nothing_at_pure_noise() -> None:
    """From α = 0 a network must predict something else: refused, not NaN."""
    law = Flow()
    denoiser = models.from_callable(lambda x, t: x, law, "noise")
    with pytest.raises(InvalidInput, match="noise prediction says nothing about the data at alpha = 0"):
        sample(denoiser, solvers.named("ddim").schedule(law, 3, "time"), noise(2, 3))


def test_nothing_waits_for_the_device() -> None:
    """On the meta device there is nothing to read, and nothing is read: the loop only queues work."""
    denoiser = models.from_callable(lambda x, t: x * t[:, None], LAW)
    for name in ("dpmpp-2m", "unipc-3-bh2", "f-pndm"):
        schedule = solvers.named(name).schedule(LAW, 8)
        assert sample(denoiser, schedule, torch.empty(2, 3, device="meta")).device.type == "meta"
