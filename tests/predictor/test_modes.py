"""Errors on one-dimensional mixtures, against samples really drawn."""

import numpy as np
import pytest
import torch
from scipy.special import ndtri

from fewstep import Schedule, compile, processes, sample, solvers
from fewstep.models import GaussianMixture
from fewstep.predictor import modes
from fewstep.processes import Process

VARIANCE = 0.8


def two_modes(process: Process) -> GaussianMixture:
    """The mixture that `fewstep.predictor.modes` is about, as a model."""
    mode, within = ((1 - modes.WITHIN) * VARIANCE) ** 0.5, modes.WITHIN * VARIANCE
    means, covariances = torch.tensor([[-mode], [mode]]), torch.full((2, 1, 1), within)
    return GaussianMixture(process, torch.ones(2), means.double(), covariances.double())


@pytest.mark.parametrize("process", [processes.VPLinear(), processes.Cosine()], ids=["vp-linear", "cosine"])
def test_errors_are_those_of_real_samples(process: Process):
    """The forecast is the distance from real samples to those of a solver of third order with 200 calls."""
    model = two_modes(process)
    shares = 0.5 + (np.arange(modes.NOISES) + 0.5) / (2 * modes.NOISES)
    noise = torch.from_numpy(ndtri(shares))[:, None]
    converged = sample(model, solvers.named("dpmpp-3m").schedule(process, nfe=200), noise)
    for name in ("ddim", "dpmpp-3m", "dpm-2m"):
        schedule = solvers.named(name).schedule(process, nfe=7)
        measured = float((sample(model, schedule, noise) - converged).square().mean().sqrt())
        assert modes.errors(process, [compile(schedule)], VARIANCE) == pytest.approx([measured], rel=0.02), name


def test_an_end_without_noise_is_forecast():
    """A schedule that ends at σ = 0 has a finite error, close to that of one that ends just before."""
    process = processes.VPLinear()
    near = solvers.named("ddim").schedule(process, nfe=12, grid="quadratic")
    clean = Schedule(process, (*near.times[:-1], 0.0), near.steps)
    errors = modes.errors(process, [compile(near), compile(clean)], VARIANCE)
    assert errors[1] == pytest.approx(errors[0], rel=0.25)
