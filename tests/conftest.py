"""What all tests share: processes, a small exact mixture, and hypothesis without clock or chance."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing

import hypothesis
import pytest
import torch

from api.inspection import Inspector
from fewstep.models import GaussianMixture, zoo
from fewstep.processes import Process
from tests.laws import PROCESSES

# No deadline: a test never depends on the machine's speed. Derandomised: a run finds today what it finds tomorrow.
hypothesis.settings.register_profile("fewstep", deadline=None, derandomize=True, database=None, max_examples=60)
hypothesis.settings.load_profile("fewstep")

os.environ["FEWSTEP_CACHE"] = tempfile.mkdtemp(prefix="fewstep-tests-")  # nothing is left in the user's folder

torch.set_num_threads(1)  # tensors here are tiny: threads only cost


@pytest.fixture(params=PROCESSES.values(), ids=PROCESSES)
def process(request: pytest.FixtureRequest) -> Process:
    """Each noise law in turn, with its default parameters."""
    return request.param


@pytest.fixture(scope="session")
def inspector() -> Iterator[Inspector]:
    """One process that looks through models, for all tests; it starts with the first model."""
    with closing(Inspector(120.0)) as inspector:
        yield inspector


@pytest.fixture(scope="session")
def make_mixture():
    """``make_mixture(process)``: an exact, strongly nonlinear denoiser of three full-covariance Gaussians, d = 3."""

    def make(process: Process) -> GaussianMixture:
        generator = torch.Generator().manual_seed(3)
        means = torch.randn(3, 3, generator=generator, dtype=torch.float64)
        roots = 0.4 * torch.randn(3, 3, 3, generator=generator, dtype=torch.float64)
        covariances = roots @ roots.mT + 0.01 * torch.eye(3, dtype=torch.float64)
        return GaussianMixture(process, torch.tensor([0.5, 0.3, 0.2]), means, covariances)

    return make


@pytest.fixture(scope="session")
def digits_on():
    """``digits_on(process)``: the zoo's digits mixture, its weights as shipped, under another noise law."""
    tensors = zoo.read_weights(zoo.describe("digits-mixture").path)

    def make(process: Process) -> GaussianMixture:
        return GaussianMixture(process, tensors["weights"], tensors["means"], tensors["covariances"])

    return make
