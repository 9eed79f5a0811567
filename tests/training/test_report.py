"""Measures of quality against closed forms."""

import math

import pytest
import torch

from fewstep import models, processes
from fewstep.errors import InvalidInput
from fewstep.models import Gaussian
from training.report import data_errors, draw, frechet, pixel_variance


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Standard normal numbers, float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whitened(features: torch.Tensor) -> torch.Tensor:
    """The same with mean 0 and covariance 1, exactly."""
    centred = features - features.mean(0)
    return centred @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(centred.T))).T


def test_frechet_of_commuting_gaussians_is_closed() -> None:
    """Equal axes: Σ (μ_1 − μ_2)² + Σ (s_1 − s_2)²."""
    base = whitened(normal(500, 3))
    one, two = torch.tensor([1.0, 2.0, 0.5]).double(), torch.tensor([3.0, 0.1, 0.5]).double()
    wanted = float((one - two).square().sum()) + 3 * 0.7**2
    assert frechet(base * one, base * two + 0.7) == pytest.approx(wanted, rel=1e-9)
    assert frechet(base * two + 0.7, base * one) == pytest.approx(wanted, rel=1e-9)


def test_frechet_of_turned_gaussians_is_closed() -> None:
    """Two dimensions: tr (C_1 C_2)^½ = √(tr C_1 C_2 + 2 √(det C_1 C_2))."""
    base = whitened(normal(400, 2))
    one, two = torch.tensor([[2.0, 0.3], [0.0, 0.5]]).double(), torch.tensor([[0.4, -1.0], [0.8, 1.5]]).double()
    first, second = one @ one.T, two @ two.T
    root = math.sqrt(float((first @ second).trace()) + 2 * math.sqrt(float(torch.det(first @ second))))
    wanted = float(first.trace() + second.trace()) - 2 * root
    assert frechet(base @ one.T, base @ two.T) == pytest.approx(wanted, rel=1e-9)


def test_frechet_survives_fewer_samples_than_features() -> None:
    """Singular covariances: 0 for a set against itself, never negative, never NaN."""
    few = normal(5, 64)
    assert frechet(few, few) == pytest.approx(0, abs=1e-6)
    assert frechet(few.float(), few.float() + 1) == pytest.approx(64, rel=1e-5)


@pytest.mark.parametrize(("first", "second"), [((5, 2), (5, 3)), ((1, 2), (5, 2)), ((5,), (5,))])
def test_sets_that_do_not_fit_are_refused(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    """Other widths, single samples, flat tensors."""
    with pytest.raises(InvalidInput, match="wanted features"):
        frechet(torch.zeros(first), torch.zeros(second))


def test_the_data_error_of_a_gaussian_is_its_posterior_variance() -> None:
    """x_0 ~ N(0, v): error v σ²/(α² v + σ²) of the exact denoiser, at every time."""
    process, v = processes.VPLinear(), 0.4
    denoiser = Gaussian(process, mean=torch.zeros(4), covariance=v * torch.eye(4))
    times = [0.05, 0.3, 0.8]
    found = data_errors(denoiser, math.sqrt(v) * normal(4000, 4).float(), times)
    for t, error in zip(times, found, strict=True):
        alpha, sigma = process.alpha(t), process.sigma(t)
        assert error == pytest.approx(v * sigma**2 / (alpha**2 * v + sigma**2), rel=0.02)


def test_drawn_samples_do_not_depend_on_the_batch() -> None:
    """The same samples in one batch or in many; each bound to its own condition."""
    process = processes.VPLinear()
    denoiser = models.from_callable(lambda x, t: torch.tanh(x), process, "data")
    whole = draw(denoiser, (10, 3), "ddim", 4)
    torch.testing.assert_close(draw(denoiser, (10, 3), "ddim", 4, batch=3), whole)
    seen = []
    draw(denoiser, (5, 3), "ddim", 2, bound=lambda d, indices: seen.append(list(indices)) or d, batch=2)
    assert seen == [[0, 1], [2, 3], [4]]


def test_pixel_variance_is_of_one_image_at_a_time() -> None:
    """Brightness differs between images, but it is no variance within one."""
    images = torch.tensor([[[-1.0, 1.0]], [[5.0, 5.0]]])
    assert pixel_variance(images) == pytest.approx((2 + 0) / 2)
