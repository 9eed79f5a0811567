"""Loss weights: their values, and their exact equivalents for every prediction."""

import math

import pytest
import torch

from fewstep import processes
from fewstep.errors import UnknownName
from fewstep.models.base import to_data
from training.losses import ERRORS, WEIGHTS, Denoising, weight

SNR = torch.tensor([1e-4, 0.01, 0.5, 1.0, 7.0, 1e4], dtype=torch.float64)
CLOSED = {
    "constant": lambda s: 1.0,
    "debiased": lambda s: 1 / math.sqrt(s),
    "min-snr": lambda s: min(5.0, s) / s,
    "p2": lambda s: (1 + s) ** -1,
    "inverse-snr": lambda s: 1 / s,
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_of_the_noise_are_the_papers(name: str) -> None:
    """Each weight at six noise levels."""
    wanted = torch.tensor([CLOSED[name](float(s)) for s in SNR], dtype=torch.float64)
    torch.testing.assert_close(weight(name, "noise", SNR), wanted)


@pytest.mark.parametrize(
    ("name", "prediction", "closed"),
    [
        ("debiased", "data", lambda s: math.sqrt(s)),
        ("debiased", "velocity", lambda s: math.sqrt(s) / (1 + s)),
        ("min-snr", "data", lambda s: min(5.0, s)),
        ("min-snr", "velocity", lambda s: min(5.0, s) / (1 + s)),
        ("p2", "velocity", lambda s: s / (1 + s) ** 2),
    ],
)
def test_published_equivalents(name: str, prediction: str, closed) -> None:
    """Weights for the data and the velocity as they are written elsewhere."""
    wanted = torch.tensor([closed(float(s)) for s in SNR], dtype=torch.float64)
    torch.testing.assert_close(weight(name, prediction, SNR), wanted)


@pytest.mark.parametrize("prediction", ERRORS)
@pytest.mark.parametrize("name", WEIGHTS)
def test_every_prediction_has_the_gradient_of_the_noise_form(name: str, prediction: str) -> None:
    """One network's output, read as noise: the weighted noise error and the equivalent loss pull alike."""
    process = processes.Discrete.linear_betas()
    loss = Denoising(process, prediction, name)
    output = torch.randn(64, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    slope = torch.tensor(0.7, requires_grad=True, dtype=torch.float64)
    seen = {}

    def network(x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        seen.update(x=x, t=told)
        return slope * output

    data = torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 2 - 1
    value = loss(network, data, torch.zeros(64), torch.Generator().manual_seed(3))
    alpha, sigma = (scale(seen["t"].double()).reshape(-1, 1, 1, 1) for scale in (process.alpha, process.sigma))
    guess = to_data(prediction, slope * output, seen["x"], seen["t"].double(), process)
    noise, guessed = ((seen["x"] - alpha * estimate) / sigma for estimate in (data, guess))
    snr = (alpha / sigma).flatten().square()
    wanted = (weight(name, "noise", snr) * (guessed - noise).square().flatten(1).mean(1)).mean()
    torch.testing.assert_close(value, wanted, rtol=1e-4, atol=0)
    (got,) = torch.autograd.grad(value, slope, retain_graph=True)
    (expected,) = torch.autograd.grad(wanted, slope)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=0)


def test_a_perfect_network_loses_nothing() -> None:
    """A network that answers with the target itself, for every prediction, on the flow's law."""
    process = processes.Flow()
    data = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    for prediction, answer in {
        "noise": lambda x, t: (x - (1 - t) * data) / t,
        "data": lambda x, t: data,
        "flow": lambda x, t: (x - data) / t,
    }.items():
        loss = Denoising(process, prediction, weight="")
        value = loss(lambda x, t, a=answer: a(x, t[:, None]), data, torch.zeros(16), torch.Generator().manual_seed(1))
        assert value.item() < 1e-5


def test_times_cover_the_process() -> None:
    """Whole indices of a table, numbers between the ends of a continuous law; told in the network's units."""
    generator = torch.Generator().manual_seed(0)
    whole = Denoising(processes.Discrete((0.9, 0.5, 0.1))).times(200, generator)
    assert set(whole.tolist()) == {0.0, 1.0, 2.0}
    times = Denoising(processes.Flow(), "flow").times(2000, generator)
    assert times.min() < 0.01
    assert times.max() > 0.99
    told = []
    Denoising(processes.Flow(), "flow", "", time_scale=1000.0)(
        lambda x, t: told.append(t) or x, torch.zeros(64, 1), torch.zeros(64), generator
    )
    assert 100 < told[0].max() <= 1000


def test_a_network_is_told_the_shifted_time() -> None:
    """Under a shift it sees 1000 σ, the share of noise in its states: x = (1 − σ) x_0 + σ ε with a large x_0."""
    seen = []
    Denoising(processes.Flow(3.0), "flow", "", time_scale=1000.0)(
        lambda x, t: seen.append((x, t)) or x,
        torch.full((64, 1), 1e6),
        torch.zeros(64),
        torch.Generator().manual_seed(0),
    )
    ((states, times),) = seen
    torch.testing.assert_close(1 - states[:, 0] / 1e6, times / 1000, rtol=0, atol=1e-5)


def test_a_tenth_of_the_labels_is_dropped() -> None:
    """A network with classes sees its labels, and "no class" in the place of a tenth of them."""
    seen = []

    def network(x: torch.Tensor, t: torch.Tensor, class_labels: torch.Tensor) -> torch.Tensor:
        seen.append(class_labels)
        return x

    labels = torch.arange(5000) % 10
    loss = Denoising(processes.Discrete.linear_betas(), no_class=10)
    loss(network, torch.zeros(5000, 1), labels, torch.Generator().manual_seed(0))
    dropped = seen[0] == 10
    assert torch.equal(seen[0][~dropped], labels[~dropped])
    assert 0.08 < dropped.float().mean() < 0.12


def test_unknown_names_are_refused() -> None:
    """The error lists the known ones."""
    with pytest.raises(UnknownName, match="unknown loss weight 'cosine'; known: constant, debiased"):
        weight("cosine", "noise", SNR)
    with pytest.raises(UnknownName, match="unknown prediction 'score'; known: noise, data"):
        weight("p2", "score", SNR)
