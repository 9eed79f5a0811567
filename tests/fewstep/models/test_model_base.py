"""The model convention: every kind of network prediction becomes the same data prediction."""

import pytest
import torch

from fewstep.errors import UnknownName
from fewstep.models import Denoiser, from_callable
from fewstep.models.base import PREDICTIONS, per_sample, to_data
from fewstep.processes import Process, VPLinear


def pair() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Clean data, noise (5, 2, 3) and times (5,) as shares of the range."""
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 5, 2, 3, generator=generator, dtype=torch.float64)
    return clean, noise, torch.rand(5, generator=generator, dtype=torch.float64) * 0.9 + 0.05


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_each_prediction_becomes_the_data(process: Process, prediction: str) -> None:
    """At x = α x_0 + σ ε the outputs x_0, ε, α ε − σ x_0 and ε − x_0 all mean x_0, at a time of its own for each."""
    clean, noise, shares = pair()
    t = process.t_min + shares * (process.t_max - process.t_min)
    alpha, sigma = per_sample(process.alpha(t), clean), per_sample(process.sigma(t), clean)
    output = {"data": clean, "noise": noise, "velocity": alpha * noise - sigma * clean, "flow": noise - clean}[
        prediction
    ]
    x = alpha * clean + sigma * noise
    torch.testing.assert_close(to_data(prediction, output, x, t, process), clean, rtol=1e-10, atol=1e-10)
    denoiser = from_callable(lambda x, t: output, process, prediction)
    torch.testing.assert_close(denoiser(x, t), clean, rtol=1e-10, atol=1e-10)


def test_a_wrapped_function_is_a_denoiser() -> None:
    """It carries its process and satisfies the protocol; a bare function does not."""
    denoiser = from_callable(lambda x, t: x, VPLinear())
    assert isinstance(denoiser, Denoiser)
    assert denoiser.process == VPLinear()
    assert not isinstance(lambda x, t: x, Denoiser)


def test_noise_is_the_default_prediction() -> None:
    """Most networks predict noise."""
    law = VPLinear()
    t = torch.tensor([0.5], dtype=torch.float64)
    x = torch.ones(1, 1, dtype=torch.float64)
    got = from_callable(lambda x, t: torch.zeros_like(x), law)(x, t)
    torch.testing.assert_close(got.squeeze(), 1 / law.alpha(t).squeeze())


def test_an_unknown_prediction_is_named() -> None:
    """The error lists the known ones."""
    with pytest.raises(UnknownName, match="unknown prediction 'score'; known: data, noise, velocity"):
        from_callable(lambda x, t: x, VPLinear(), prediction="score")


@pytest.mark.parametrize("shape", [(4, 3), (4, 1, 8, 8), (4,)])
def test_per_sample_broadcasts(shape: tuple[int, ...]) -> None:
    """(B,) values line up with the batch of (B, ...)."""
    values = per_sample(torch.arange(4.0), torch.zeros(shape))
    assert values.shape == (4, *(1,) * (len(shape) - 1))
