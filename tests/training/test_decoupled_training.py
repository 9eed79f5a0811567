"""Decoupled diffusion: its forward process, its loss and its reverse samplers."""

from functools import partial

import pytest
import torch

from fewstep import Schedule, sample, solvers
from fewstep.models.base import per_sample
from fewstep.models.decoupled import TIME_FLOOR, TwoHeads
from fewstep.processes import DDM
from fewstep.steps.step import Step
from training.decoupled import Attenuation, Decoupled, forward, paper_times, reverse


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("slopes", [None, 5], ids=["constant", "linear"])
def test_the_data_fade_out_wholly(slopes: int | None) -> None:
    """Clean data at t = 0, pure noise at t = 1, under either attenuation."""
    data, noise = normal(6, 2), normal(6, 2, seed=1)
    fading = Attenuation.of(data, torch.Generator().manual_seed(slopes) if slopes else None)
    torch.testing.assert_close(forward(data, fading, noise, torch.zeros(6).double()), data)
    torch.testing.assert_close(forward(data, fading, noise, torch.ones(6).double()), noise)


def test_constant_attenuation_is_the_process() -> None:
    """x_t = (1 − t) x_0 + √t ε: the noise law `DDM`."""
    process = DDM()
    data, noise, t = normal(6, 2), normal(6, 2, seed=1), torch.rand(6, dtype=torch.float64)
    alpha, sigma = per_sample(process.alpha(t), data), per_sample(process.sigma(t), data)
    torch.testing.assert_close(forward(data, Attenuation.of(data), noise, t), alpha * data + sigma * noise)


def test_linear_attenuation_widens_the_noise() -> None:
    """x_t = (1 − t) x_0 − K t (1 − t)/2 + √t ε with |K| <= 1: variance t + Var(K) t² (1 − t)²/4, Var(K) = 0.516."""
    data = torch.zeros(400_000, 1, dtype=torch.float64)
    fading = Attenuation.of(data, torch.Generator().manual_seed(0))
    assert fading.slope.abs().max() == 1
    t = torch.full((len(data),), 0.3, dtype=torch.float64)
    state = forward(data, fading, torch.zeros_like(data), t)
    torch.testing.assert_close(state, -fading.slope * 0.3 * 0.7 / 2)
    assert state.var().item() == pytest.approx(0.516 * 0.3**2 * 0.7**2 / 4, rel=0.01)


class Answers(torch.nn.Module):
    """A network whose two heads are read as the given attenuation and noise."""

    def __init__(self, attenuation: torch.Tensor, noise: torch.Tensor) -> None:
        super().__init__()
        self.answers = attenuation, noise

    def forward(self, x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        s = per_sample((told / 100).exp(), x)
        x = x * (1 + s).sqrt()
        attenuation, noise = self.answers
        first = (attenuation - (s - 1) * x) * (1 + s).sqrt() / s
        return torch.cat([first, (noise - s.sqrt() * x) * ((1 + s) / (1 - s)).sqrt()], 1)


def drawn(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The times and noises that the loss draws from a generator with that seed, for samples of one number."""
    generator = torch.Generator().manual_seed(seed)
    t = TIME_FLOOR + (1 - TIME_FLOOR) * torch.rand(count, generator=generator)
    return t, torch.randn(count, 1, generator=generator)


@pytest.mark.parametrize("weighted", [True, False])
def test_the_loss_is_the_papers(weighted: bool) -> None:
    """Nothing for exact heads; for heads wrong by a and b: w_1 a² + w_2 b² + (1 − t)²·|t a + √t b|."""
    data, (t, noise) = normal(256, 1).float(), drawn(256, 7)
    loss = partial(Decoupled(weighted), data=data, labels=torch.zeros(256))
    exact = loss(Answers(-data, noise), generator=torch.Generator().manual_seed(7))
    assert exact.item() < 1e-4
    a, b = 0.3, -0.2
    wrong = loss(Answers(a - data, b + noise), generator=torch.Generator().manual_seed(7)).item()
    t = t.double()
    first, second = (1 / t, 1 / (1 - t + 1e-4)) if weighted else (1.0, 1.0)
    wanted = first * a**2 + second * b**2 + (1 - t) ** 2 * (t * a + t.sqrt() * b).abs()
    assert wrong == pytest.approx(wanted.mean().item(), rel=1e-3)


def exact(mixture, x: torch.Tensor, t: torch.Tensor) -> tuple[Attenuation, torch.Tensor]:
    data, s = mixture(x, t), per_sample(t, x)
    return Attenuation.of(data), (x - (1 - s) * data) / s.sqrt()


def test_its_samplers_are_schedules(make_mixture) -> None:
    """The paper's stochastic and deterministic samplers, at the paper's times, are `ddm-sde` and `ddm`."""
    mixture, noise, times = make_mixture(DDM()), normal(5, 3), paper_times(6)
    assert times == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 1e-4, 0])
    for name, step in (("ddm", Step()), ("ddm-sde", Step(eta=1.0, noise="bridge"))):
        assert solvers.named(name).ladder == (step,)
        last = (*(step,) * 5, Step())  # to t = 0 there is no noise left to add
        schedule = Schedule(DDM(), tuple(times), last)
        seed = None if name == "ddm" else 4
        own, ours = (torch.Generator().manual_seed(seed) if seed else None for _ in range(2))
        made = reverse(partial(exact, mixture), noise, times, own)
        torch.testing.assert_close(made, sample(mixture, schedule, noise, generator=ours), rtol=0, atol=1e-9)


def test_with_exact_heads_every_step_is_exact() -> None:
    """One clean sample known: the deterministic sampler stays on its path under linear attenuation, and ends on it."""
    data, noise = normal(4, 3), normal(4, 3, seed=1)
    fading = Attenuation.of(data, torch.Generator().manual_seed(2))
    made = reverse(lambda x, t: (fading, noise), noise, [1.0, 0.7, 0.35, 0.0])
    torch.testing.assert_close(made, data)
    middle = reverse(lambda x, t: (fading, noise), noise, [1.0, 0.35])
    torch.testing.assert_close(middle, forward(data, fading, noise, torch.full((4,), 0.35, dtype=torch.float64)))


def test_clamped_samples_stay_in_range() -> None:
    """``clamp`` holds the data estimate inside [−1, 1] although the heads say otherwise."""
    outside = torch.full((2, 3), 3.0, dtype=torch.float64)
    made = reverse(lambda x, t: (Attenuation.of(outside), normal(2, 3)), normal(2, 3), paper_times(4), clamp=True)
    assert made.abs().max() <= 1 + 1e-9


def test_the_bridge_has_the_papers_variance() -> None:
    """Given x_0, a stochastic step from t to r has variance s·r/t round (1 − r) x_0 + (r/√t) ε (generalised DDIM)."""
    t, r, count = 0.8, 0.3, 200_000
    data = torch.full((count, 1), 0.5, dtype=torch.float64)
    noise = torch.full((count, 1), 0.7, dtype=torch.float64)
    start = (1 - t) * data + t**0.5 * noise
    made = reverse(lambda x, now: (Attenuation.of(data), noise), start, [t, r], torch.Generator().manual_seed(0))
    assert made.mean().item() == pytest.approx((1 - r) * 0.5 + r / t**0.5 * 0.7, abs=5e-3)
    assert made.var().item() == pytest.approx((t - r) * r / t, rel=0.01)


def test_two_heads_are_read_as_they_are_trained() -> None:
    """Exact heads make an exact data estimate in `TwoHeads`, at any time."""
    data, noise, t = normal(6, 1), normal(6, 1, seed=1), torch.tensor([1e-3, 0.1, 0.5, 0.9, 0.99, 0.999]).double()
    state, heads = forward(data, Attenuation.of(data), noise, t), TwoHeads()
    output = Answers(-data, noise)(*heads.inputs(state, t))
    torch.testing.assert_close(heads.data(output, state, t), data, rtol=0, atol=1e-6)
