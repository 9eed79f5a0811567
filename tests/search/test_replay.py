"""Times by replay: the loss is what it says, and descent lowers it."""

import numpy as np
import pytest
import torch

from fewstep import Schedule, Step, grids, models
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.optimize import replay
from fewstep.search.space import Space
from fewstep.trajectory import Trajectories


@pytest.fixture(scope="module")
def stored(blobs: models.GaussianMixture) -> Trajectories:
    return teacher.follow(blobs, NoiseSet(0, "search", 40).draw((4,)).double())


def test_loss_is_the_residual_energy_of_open_loop_regressions(stored: Trajectories) -> None:
    """The Gram form equals plain least squares on interpolated states and outputs, row by row."""
    logits = np.array([0.3, -0.2, 0.1, 0.0])
    shares = np.exp(logits) / np.exp(logits).sum()
    first, last = stored.log_snrs[[0, -1]]
    lam = first + (last - first) * np.concatenate([[0.0], np.cumsum(shares)])
    states, outputs = stored.at(stored.states, lam), stored.at(stored.outputs, lam[:-1])
    total = 0.0
    for i in range(4):
        given = np.stack([states[0].ravel(), *(outputs[j].ravel() for j in range(i + 1))], axis=1)
        row, *_ = np.linalg.lstsq(given, states[i + 1].ravel(), rcond=None)
        total += np.mean((given @ row - states[i + 1].ravel()) ** 2)
    assert replay.loss(stored, logits[None])[0] == pytest.approx(total, rel=1e-3)


def test_placing_lowers_the_loss_from_every_grid(stored: Trajectories, blobs: models.GaussianMixture) -> None:
    """From each named grid, descent ends with a lower loss than it began with."""
    space, steps = Space(blobs.process, 5), (Step(),) * 5
    even = [Schedule(blobs.process, grids.named(name)(blobs.process, 5), steps) for name in grids.EVEN]
    starts = np.stack([space.logits(schedule) for schedule in even])
    assert np.all(replay.loss(stored, replay.place(stored, starts)) < 0.9 * replay.loss(stored, starts))


def test_placing_leaves_torch_seeds_alone(stored: Trajectories) -> None:
    """Replay draws no random numbers."""
    before = torch.random.get_rng_state()
    replay.place(stored, np.zeros((1, 3)))
    assert torch.equal(before, torch.random.get_rng_state())


def test_starts_are_placed_independently(stored: Trajectories) -> None:
    """A start ends where it would have ended alone."""
    starts = np.random.default_rng(0).normal(0, 0.3, (3, 4))
    together = replay.place(stored, starts)
    for start, end in zip(starts, together, strict=True):
        np.testing.assert_allclose(replay.place(stored, start[None])[0], end, atol=1e-6)
