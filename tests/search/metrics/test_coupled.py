"""Distances to the teacher's samples of the same noises: nothing for the teacher, little noise for the others."""

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from fewstep import models
from fewstep.errors import InvalidInput, UnknownName
from fewstep.search.evaluation.evaluator import Evaluator, observe
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.metrics import bootstrap, spaces
from fewstep.search.metrics.base import value
from fewstep.search.metrics.coupled import Coupled
from fewstep.search.metrics.frechet import between
from fewstep.search.samplers import operators as proposals
from fewstep.search.space import Space
from fewstep.values.objective import METRICS, Measure

NAMES = [name for name in METRICS if name != "endpoint"]


def pairs(shift: float, noise: float, count: int = 60, seed: int = 0) -> np.ndarray:
    """Rows of normal samples, and of the same ones moved and blurred."""
    rng = np.random.default_rng(seed)
    taught = rng.normal(size=(count, 4))
    return np.hstack([taught + shift + noise * rng.normal(size=taught.shape), taught])


@pytest.mark.parametrize("name", NAMES)
def test_the_teacher_itself_is_at_no_distance(name: str) -> None:
    """At any number of noises and in every resample, and whoever is further from it is at a larger one."""
    metric = Coupled(name)
    counts = bootstrap.resample(60, 5, seed=1)
    np.testing.assert_allclose(metric.values(pairs(0.0, 0.0), counts), 0.0, atol=1e-9)
    values = [value(metric, pairs(shift, 0.1)) for shift in (0.1, 0.3, 1.0)]
    assert 0 < values[0] < values[1] < values[2]


@pytest.mark.parametrize(("count", "rounding"), [(3, 1e-7), (60, 1e-9)])  # of three: roots of what rounds to 1e-16
def test_the_frechet_distance_is_that_of_both_sets(count: int, rounding: float) -> None:
    """With more noises than features and with fewer, it is what the two sets have without any coupling."""
    rows = pairs(0.3, 0.2, count)
    plain = between(*(torch.from_numpy(part) for part in np.hsplit(rows, 2)))
    assert value(Coupled("frechet"), rows) == pytest.approx(plain, abs=rounding)


@pytest.mark.parametrize("name", NAMES)
def test_the_error_of_a_difference_is_that_of_fresh_noises(name: str) -> None:
    """The jackknife's standard error of a paired difference is the spread over fresh sets, to two fifths."""
    metric = Coupled(name)
    drawn = [(pairs(0.5, 0.2, seed=seed), pairs(0.4, 0.2, seed=seed)) for seed in range(100)]
    spread = np.std([value(metric, worse) - value(metric, better) for worse, better in drawn])
    stated = np.mean([bootstrap.difference_error(metric, *pair) for pair in drawn[:30]])
    assert stated == pytest.approx(spread, rel=0.4)


def test_few_noises_rank_as_many_do() -> None:
    """On 32 noises the coupled Fréchet distance orders schedules as it does on 512, where the distance to the data
    orders them less well: which noises were drawn cancels."""
    denoiser = models.zoo.load("digits-mixture")
    evaluator, space, rng = Evaluator(denoiser, (1, 8, 8)), Space(denoiser.process, 4), np.random.default_rng(0)
    schedules = [proposals.uniform(space, rng) for _ in range(20)]
    measures = [Measure("frechet", "digits", "teacher"), Measure("frechet", "digits", "digits")]
    metrics = [spaces.judging(measure) for measure in measures]
    few, many = (
        np.array(
            [
                [value(m, r) for m, r in zip(metrics, observe(evaluator, noises, s, measures), strict=True)]
                for s in schedules
            ]
        )
        for noises in (NoiseSet(0, "search", 32), NoiseSet(0, "truth", 512))
    )
    coupled, data = (kendalltau(few[:, k], many[:, 1]).statistic for k in (0, 1))
    assert coupled > max(data, 0.7)


def test_what_is_no_pair_is_refused() -> None:
    """Without the teacher's samples, with half a row, or under another name there is nothing to compare."""
    with pytest.raises(InvalidInput, match="the teacher's samples of the same noises, got none"):
        Coupled("kid").observe(torch.zeros(3, 4), None)
    with pytest.raises(InvalidInput, match="features of two samples each, got 3 numbers"):
        Coupled("kid").values(np.zeros((4, 3)), np.ones((1, 4)))
    with pytest.raises(UnknownName, match="unknown metric 'endpoint'; known: frechet"):
        Coupled("endpoint")
