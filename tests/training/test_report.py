"""Measures of quality against closed forms."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import pytest
import torch

from fewstep import models, processes
from fewstep.models import Gaussian, Wrapped
from training.report import data_errors, draw


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Standard normal numbers, float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@dataclass(frozen=True)
class Recorder(Wrapped):
    """Remembers the conditions that it is bound to."""

    batches: list[list[int]] = field(default_factory=list)

    def bound(self, conditions: Sequence[int]) -> Self:
        self.batches.append(list(conditions))
        return self

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.denoiser(x, t)


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
    recorder = Recorder(denoiser)
    draw(recorder, (5, 3), "ddim", 2, batch=2)
    assert recorder.batches == [[0, 1], [2, 3], [4]]
