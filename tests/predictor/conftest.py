"""The real digits mixture, once for all tests here: teacher trajectories and random schedules with measured scores."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch

from fewstep import Schedule, models, sample
from fewstep.predictor import ranker
from fewstep.search.evaluation import teacher
from fewstep.search.samplers import operators as proposals
from fewstep.search.space import Space
from fewstep.trajectory import Trajectories
from fewstep.values.score import Score
from fewstep.values.trial import Rank, Trial
from tests.trials import trial_of

MODEL, NFE, KNOWN, UNSEEN, NOISES = "digits-mixture", 6, 100, 100, 96


def draw(nfe: int, count: int, seed: int) -> list[Schedule]:
    """Random schedules of the search space."""
    space, rng = Space(models.zoo.load(MODEL).process, nfe), np.random.default_rng(seed)
    return [proposals.uniform(space, rng) for _ in range(count)]


def noise(count: int, seed: int) -> torch.Tensor:
    """Start noises (count, 64), double precision."""
    return torch.randn(count, 64, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="session")
def trajectories() -> Trajectories:
    """The teacher's trajectories on 16 noises."""
    return teacher.follow(models.zoo.load(MODEL), noise(16, seed=1), calls=64)


def measure(schedules: Sequence[Schedule]) -> list[Trial]:
    """Trials of schedules: their distance to the teacher on 96 noises, other than the trajectories'."""
    denoiser, starts = models.zoo.load(MODEL), noise(NOISES, seed=2)
    ends = teacher.ends(denoiser, starts)
    measured = []
    for i, schedule in enumerate(schedules):
        error = (sample(denoiser, schedule, starts.float()) - ends).square().mean().sqrt()
        measured.append(trial_of(i, schedule, Score(float(error), 0.0, NOISES, NOISES * schedule.nfe), "random"))
    return measured


@pytest.fixture(scope="session")
def trials() -> list[Trial]:
    """Measured random schedules."""
    return measure(draw(NFE, KNOWN + UNSEEN, seed=3))


@pytest.fixture(scope="session")
def shorter() -> list[Trial]:
    """Measured random schedules with a call less."""
    return measure(draw(NFE - 1, 60, seed=9))


@pytest.fixture(scope="session")
def known(trials: list[Trial]) -> list[Trial]:
    """The trials that the ranker is given."""
    return trials[:KNOWN]


@pytest.fixture(scope="session")
def unseen(trials: list[Trial]) -> list[Trial]:
    """The trials that it must forecast."""
    return trials[KNOWN:]


@pytest.fixture(scope="session")
def short() -> list[Schedule]:
    """Random schedules with fewer calls than the trials'."""
    return draw(NFE - 2, 6, seed=8)


@pytest.fixture(scope="session")
def rank(trajectories: Trajectories) -> Rank:
    """A ranker that is asked every question once: answers depend on questions only, as a test shows with fresh ones."""
    ask = cache(ranker(trajectories))
    return lambda trials, candidates: ask(tuple(trials), tuple(candidates))
