"""Gaussian mixtures against brute force, Tweedie's identity and closed forms."""

import pickle

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from fewstep import processes
from fewstep.errors import InvalidInput, InvalidModel
from fewstep.models import Gaussian, GaussianMixture
from fewstep.processes import Process, VPLinear

LAW = VPLinear()
SHARES = (0.0, 0.03, 0.3, 0.7, 1.0)  # of the way from t_min to t_max


def tables() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weights, means and full covariances of three components in four dimensions."""
    generator = torch.Generator().manual_seed(11)
    roots = torch.randn(3, 4, 4, generator=generator, dtype=torch.float64)
    means = 2 * torch.randn(3, 4, generator=generator, dtype=torch.float64)
    return torch.tensor([0.5, 0.2, 0.3]).double(), means, roots @ roots.mT * 0.2 + 0.01 * torch.eye(4).double()


def points(count: int = 9) -> torch.Tensor:
    return 1.5 * torch.randn(count, 4, generator=torch.Generator().manual_seed(12), dtype=torch.float64)


def times(process: Process) -> list[float]:
    return [process.t_min + share * (process.t_max - process.t_min) for share in SHARES]


def marginal(process: Process, t: float, x: torch.Tensor) -> torch.Tensor:
    """log p(x_t) (B, K) of each component with its weight, from torch's own multivariate normal."""
    weights, means, covariances = tables()
    alpha, sigma = float(process.alpha(t)), float(process.sigma(t))
    spread = alpha**2 * covariances + sigma**2 * torch.eye(4).double()
    return weights.log() + MultivariateNormal(alpha * means, spread).log_prob(x[:, None])


def test_the_denoiser_is_the_posterior_mean(process: Process) -> None:
    """Brute force: posterior weights from densities, component means by solving with the full covariance."""
    _, means, covariances = tables()
    x = points()
    for t in times(process):
        alpha, sigma = float(process.alpha(t)), float(process.sigma(t))
        posterior = marginal(process, t, x).softmax(-1)
        wanted = torch.zeros_like(x)
        for k in range(3):
            spread = alpha**2 * covariances[k] + sigma**2 * torch.eye(4).double()
            gain = alpha * torch.linalg.solve(spread, covariances[k]).mT
            wanted += posterior[:, k : k + 1] * (means[k] + (x - alpha * means[k]) @ gain.mT)
        got = GaussianMixture(process, *tables())(x, torch.full((9,), t, dtype=torch.float64))
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)


def test_the_denoiser_is_tweedies(process: Process) -> None:
    """D = (x + σ² ∇ log p(x_t))/α, the gradient by autograd through torch's densities."""
    for t in times(process):
        x = points().requires_grad_()
        (score,) = torch.autograd.grad(marginal(process, t, x).logsumexp(-1).sum(), x)
        wanted = (x + float(process.sigma(t)) ** 2 * score) / float(process.alpha(t))
        got = GaussianMixture(process, *tables())(x, torch.full((9,), t, dtype=torch.float64))
        # σ²/α grows to 150 at the start and magnifies the score's rounding
        torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-10)


def test_the_denoiser_is_the_mean_of_what_made_the_sample() -> None:
    """By simulation: among draws whose x_t falls near a point, the mean of x_0 is D there."""
    generator = torch.Generator().manual_seed(0)
    one = GaussianMixture(LAW, torch.tensor([0.6, 0.4]), torch.tensor([[-1.0], [0.8]]), torch.full((2, 1, 1), 0.05))
    chosen = torch.multinomial(one.weights, 400_000, replacement=True, generator=generator)
    clean = one.means[chosen] + 0.05**0.5 * torch.randn(400_000, 1, generator=generator, dtype=torch.float64)
    t = 0.35
    noisy = float(LAW.alpha(t)) * clean + float(LAW.sigma(t)) * torch.randn(clean.shape, generator=generator).double()
    for x in (-0.5, 0.0, 0.7):
        near = clean[(noisy - x).abs() < 0.02]
        error = 5 * float(near.std()) / len(near) ** 0.5 + 0.01
        assert float(one(torch.tensor([[x]]).double(), torch.tensor([t]).double())) == pytest.approx(
            float(near.mean()), abs=error
        )


def test_samples_are_independent_of_their_batch() -> None:
    """Alone, in a batch, and with other times beside it, a sample has the same output."""
    mixture = GaussianMixture(LAW, *tables())
    t = torch.linspace(0.01, 1, 9).double()
    together = mixture(points(), t)
    alone = torch.cat([mixture(points()[i : i + 1], t[i : i + 1]) for i in range(9)])
    torch.testing.assert_close(alone, together, rtol=1e-12, atol=1e-12)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mixture(points()[order], t[order]), together[order], rtol=1e-12, atol=1e-12)


def test_precision_follows_the_states() -> None:
    """Float32 in, float32 out, close to float64; and float64 is exact whatever was asked before."""
    mixture = GaussianMixture(LAW, *tables())
    t = torch.full((9,), 0.4).double()
    exact = mixture(points(), t)
    single = mixture(points().float(), t.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=1e-4)
    assert torch.equal(mixture.to(torch.float32)(points(), t), exact)
    assert mixture.to(torch.float32) is mixture.to(torch.float32)


def test_weights_are_made_to_sum_to_one() -> None:
    """Only their ratios matter."""
    weights, means, covariances = tables()
    x, t = points(), torch.full((9,), 0.4).double()
    scaled = GaussianMixture(LAW, 7 * weights, means, covariances)
    torch.testing.assert_close(scaled(x, t), GaussianMixture(LAW, weights, means, covariances)(x, t))


def test_a_mixture_survives_pickling() -> None:
    """Spawned workers get the same denoiser, also after it was used."""
    mixture = GaussianMixture(LAW, *tables())
    t = torch.full((9,), 0.4)
    wanted = mixture(points().float(), t)
    assert torch.equal(pickle.loads(pickle.dumps(mixture))(points().float(), t), wanted)


def test_degenerate_components_stay_finite() -> None:
    """Point masses are denoised without a division by zero, at σ = 0 too, where the state is the point itself."""
    law = VPLinear(t_min=0.0)
    mixture = GaussianMixture(law, torch.ones(2), torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), torch.zeros(2, 2, 2))
    x = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]).double()
    for t in (0.0, 1e-3, 1.0):
        output = mixture(x, torch.full((2,), t, dtype=torch.float64))
        assert output.isfinite().all()
        if t < 0.1:
            torch.testing.assert_close(output, x, rtol=0, atol=1e-9)


def test_a_gaussians_flow_solves_its_ode(process: Process) -> None:
    """The closed form satisfies dy/dλ = (α' − α σ'/σ)D + σ'/σ y, checked by central differences along the flow."""
    gaussian = Gaussian(process, torch.tensor([0.3, -0.8]), torch.tensor([[0.9, 0.2], [0.2, 0.3]]))
    y = points()[:, :2]
    for lam in (-3.0, -1.0, 0.5, 2.0):
        left, middle, right = (float(process.time(np.float64(lam + d))) for d in (-1e-4, 0.0, 1e-4))
        # alpha = (1 + e^{-2λ})^{-1/2}, so dα/dλ = α σ² and dσ/dλ = −σ α²
        alpha, sigma = float(process.alpha(middle)), float(process.sigma(middle))
        state = gaussian.flow(y, process.t_max, middle)
        clean = gaussian(state, torch.full((9,), middle, dtype=torch.float64))
        wanted = alpha * sigma**2 * clean - alpha**2 * (state - alpha * clean)
        slope = (gaussian.flow(y, process.t_max, right) - gaussian.flow(y, process.t_max, left)) / 2e-4
        torch.testing.assert_close(slope, wanted, rtol=1e-5, atol=1e-6)


def test_a_gaussians_flow_composes_and_inverts(process: Process) -> None:
    """Two legs are one flow, and the way back leads to the start."""
    gaussian = Gaussian(process, torch.tensor([0.3, -0.8]), torch.tensor([[0.9, 0.2], [0.2, 0.3]]))
    y, half = points()[:, :2], 0.5 * (process.t_min + process.t_max)
    whole = gaussian.flow(y, process.t_max, process.t_min)
    legs = gaussian.flow(gaussian.flow(y, process.t_max, half), half, process.t_min)
    torch.testing.assert_close(legs, whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gaussian.flow(whole, process.t_min, process.t_max), y, rtol=1e-10, atol=1e-10)


def test_digits_mixture_is_exact_in_float64(digits_on) -> None:
    """The zoo's tables under any law equal brute force with dense 64 × 64 solves."""
    law = processes.Discrete.linear_betas()
    mixture = digits_on(law)
    tables = mixture.weights, mixture.means, mixture.vectors @ mixture.values.diag_embed() @ mixture.vectors.mT
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    for t in (20.0, 400.0):
        alpha, sigma = float(law.alpha(t)), float(law.sigma(t))
        spread = alpha**2 * tables[2] + sigma**2 * torch.eye(64).double()
        offset = x.reshape(3, 1, 64) - alpha * tables[1]
        logits = tables[0].log() + MultivariateNormal(torch.zeros(64).double(), spread).log_prob(offset)
        gains = (torch.linalg.solve(spread, offset[..., None])[..., None, :, 0] * alpha * tables[2]).sum(-1)
        wanted = (logits.softmax(-1)[..., None] * (tables[1] + gains)).sum(1)
        torch.testing.assert_close(
            mixture(x, torch.full((3,), t, dtype=torch.float64)).reshape(3, 64), wanted, rtol=1e-8, atol=1e-8
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": torch.ones(2)}, r"weights \(K,\), means \(K, d\), covariances \(K, d, d\); got \(2,\), \(3, 4\)"),
        ({"means": torch.ones(3, 5)}, r"got \(3,\), \(3, 5\), \(3, 4, 4\)"),
        ({"means": torch.ones(12)}, r"got \(3,\), \(12,\)"),
        ({"covariances": torch.ones(3, 4)}, r"\(3, 4\)$"),
        ({"weights": torch.tensor([0.5, 0.0, 0.5])}, "weights must be positive"),
        ({"weights": torch.tensor([0.5, torch.nan, 0.5])}, "must be finite"),
        ({"means": torch.full((3, 4), torch.inf)}, "must be finite"),
        ({"covariances": torch.ones(3, 4, 4).triu()}, "must be symmetric"),
        ({"covariances": -torch.eye(4).expand(3, 4, 4)}, "positive semi-definite"),
    ],
)
def test_bad_tables_are_refused(change: dict, message: str) -> None:
    """Shapes, finiteness, positive weights and proper covariances are checked when the mixture is made."""
    good = dict(zip(("weights", "means", "covariances"), tables(), strict=True))
    with pytest.raises(InvalidModel, match=message):
        GaussianMixture(LAW, **{**good, **change})


@pytest.mark.parametrize(("shape", "batch"), [((2, 3), 2), ((2, 8), 2), ((1, 8), 1), ((2, 4), 3), ((2, 4), 1)])
def test_states_of_another_size_are_refused(shape: tuple[int, ...], batch: int) -> None:
    """A sample of another size, or a batch of times of another length, is an error and not a reshape."""
    with pytest.raises(InvalidInput, match=r"with 4 numbers in a sample and t \(B,\), got"):
        GaussianMixture(LAW, *tables())(torch.zeros(shape), torch.zeros(batch))
