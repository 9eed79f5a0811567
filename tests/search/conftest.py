"""A small exact model on which a whole search takes a second, and one pool for it."""

import pytest
import torch

from fewstep import models, processes
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.pool import InlinePool


@pytest.fixture(scope="session")
def blobs() -> models.GaussianMixture:
    """Three unequal blobs in four dimensions."""
    draw = torch.Generator().manual_seed(7)
    means = torch.randn(3, 4, generator=draw, dtype=torch.float64)
    roots = 0.3 * torch.randn(3, 4, 4, generator=draw, dtype=torch.float64)
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    return models.GaussianMixture(processes.VPLinear(), weights, means, roots @ roots.mT + 0.01 * torch.eye(4))


@pytest.fixture(scope="session")
def inline(blobs: models.GaussianMixture) -> InlinePool:
    """The blobs in this process; the teacher's samples are remembered from test to test."""
    return InlinePool(Evaluator(blobs, (4,)))
