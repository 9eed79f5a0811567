"""The Fréchet distance of two feature sets against closed forms."""

import math

import pytest
import torch

from fewstep.errors import InvalidInput
from fewstep.search.metrics.frechet import between as frechet


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
