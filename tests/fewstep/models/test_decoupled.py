"""Networks with two heads: what they are given, and what their outputs mean."""

import math

import pytest
import torch

from fewstep import sample, solvers
from fewstep.errors import InvalidModel
from fewstep.models.decoupled import TwoHeads
from fewstep.models.network import NetworkDenoiser
from fewstep.processes import DDM

HEADS = TwoHeads()


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Standard normal numbers, float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_inputs_have_unit_scale() -> None:
    """States are divided by √(1 + t); the network is told 100·log t, no lower than at t = 1e-4."""
    x, t = normal(4, 1, 3), torch.tensor([0.0, 1e-5, 0.25, 1.0], dtype=torch.float64)
    fed, told = HEADS.inputs(x, t)
    torch.testing.assert_close(fed, torch.stack([x[i] / math.sqrt(1 + float(t[i])) for i in range(4)]))
    lowest = 100 * math.log(1e-4)
    assert told.tolist() == pytest.approx([lowest, lowest, 100 * math.log(0.25), 0.0])


def test_the_ends_need_no_network() -> None:
    """At t = 0 the attenuation is −x and the data x, at t = 1 the noise is x, whatever the network says."""
    x, output = normal(2, 1, 3), normal(2, 2, 3, seed=1)
    attenuation, _ = HEADS.estimates(output, x, torch.zeros(2).double())
    torch.testing.assert_close(attenuation, -x)
    torch.testing.assert_close(HEADS.data(output, x, torch.zeros(2).double()), x)
    _, noise = HEADS.estimates(output, x, torch.ones(2).double())
    torch.testing.assert_close(noise, x)


def test_data_is_a_blend_of_both_heads() -> None:
    """D = (1 − t)·(x − √t ε)/(1 − t) + t·(−C): what the noise implies and what the attenuation says."""
    x, output = normal(5, 2, 3), normal(5, 4, 3, seed=1)
    t = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64)
    attenuation, noise = HEADS.estimates(output, x, t)
    s = t[:, None, None]
    implied = (x - s.sqrt() * noise) / (1 - s)
    torch.testing.assert_close(HEADS.data(output, x, t), (1 - s) * implied + s * -attenuation)


def test_the_first_half_of_the_channels_is_the_attenuation() -> None:
    """F_1 moves C by t/√(1 + t), F_2 moves ε by √((1 − t)/(1 + t)), and neither the other."""
    x, t = torch.zeros(1, 1, 2), torch.tensor([0.25])
    attenuation, noise = HEADS.estimates(torch.tensor([[[2.0, 2.0], [3.0, 3.0]]]), x, t)
    assert attenuation[0, 0, 0].item() == pytest.approx(2 * 0.25 / math.sqrt(1.25))
    assert noise[0, 0, 0].item() == pytest.approx(3 * math.sqrt(0.75 / 1.25))


def test_another_number_of_channels_is_refused() -> None:
    """The error says what was wanted."""
    with pytest.raises(InvalidModel, match=r"makes \(2, 2, 3\) of states \(2, 1, 3\), got \(2, 1, 3\)"):
        HEADS.data(torch.zeros(2, 1, 3), torch.zeros(2, 1, 3), torch.ones(2))


@pytest.mark.parametrize("solver", ["ddm", "dpmpp-2m", "unipc-3-bh2"])
def test_any_schedule_runs_on_it(solver: str, make_mixture) -> None:
    """Heads that say what an exact denoiser says sample what it samples, from pure noise to clean data."""
    mixture = make_mixture(DDM())

    def network(x: torch.Tensor, told: torch.Tensor, given: dict) -> torch.Tensor:
        t = (told.double() / 100).exp()
        s = t[:, None, None]
        state = x * (1 + s).sqrt()
        data = mixture(state.flatten(1), t).reshape(state.shape)
        first = (-data - (s - 1) * state) * (1 + s).sqrt() / s
        noise = (state - (1 - s) * data) / s.sqrt()
        weight = ((1 - s) / (1 + s)).sqrt()
        second = torch.where(weight > 0, (noise - s.sqrt() * state) / weight.clamp_min(1e-12), 0.0)
        return torch.cat([first, second], 1)

    denoiser = NetworkDenoiser(network, HEADS, torch.float64)
    schedule = solvers.named(solver).schedule(DDM(), 6)
    noise = normal(8, 1, 3)
    made, wanted = sample(denoiser, schedule, noise), sample(mixture, schedule, noise.flatten(1))
    torch.testing.assert_close(made.flatten(1), wanted, rtol=0, atol=1e-4)
