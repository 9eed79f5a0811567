"""Distances to the teacher's samples of the same noises: nothing for the teacher, little noise for the others."""

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from fewstep import models
from fewstep.errors import InvalidInput
from fewstep.search import metrics
from fewstep.search.evaluation.evaluator import Evaluator, observe
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.metrics import bootstrap
from fewstep.search.metrics.base import Metric
from fewstep.search.metrics.features import pixels
from fewstep.search.metrics.frechet import Frechet, between
from fewstep.search.samplers import operators as proposals
from fewstep.search.space import Space
from fewstep.values.objective import METRICS, PAIRED, Objective

NAMES = [name for name in METRICS if name not in PAIRED]


def pairs(shift: float, noise: float, count: int = 60, seed: int = 0) -> np.ndarray:
    """Observations of normal samples that are moved and blurred; the teacher's are the same ones unchanged."""
    rng = np.random.default_rng(seed)
    targets = rng.normal(size=(count, 4))
    return np.hstack([targets + shift + noise * rng.normal(size=targets.shape), targets])


def coupled(name: str) -> Metric:
    """The metric of that name on pixels, against the teacher."""
    return metrics.of(Objective(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_teacher_itself_is_at_no_distance(name: str) -> None:
    """At any number of noises and in every resample, and whoever is further from it is at a larger one."""
    metric = coupled(name)
    counts = bootstrap.resample(60, 5, seed=1)
    np.testing.assert_allclose(metric.values(pairs(0.0, 0.0), counts), 0.0, atol=1e-9)
    values = [metric.value(pairs(shift, 0.1)) for shift in (0.1, 0.3, 1.0)]
    assert 0 < values[0] < values[1] < values[2]


@pytest.mark.parametrize(("count", "rounding"), [(3, 1e-7), (60, 1e-9)])  # of three: roots of what rounds to 1e-16
def test_the_frechet_distance_is_that_of_both_sets(count: int, rounding: float) -> None:
    """With more noises than features and with fewer, it is what the two sets have without any coupling."""
    rows = pairs(0.3, 0.2, count)
    plain = between(*(torch.from_numpy(part) for part in np.hsplit(rows, 2)))
    assert coupled("frechet").value(rows) == pytest.approx(plain, abs=rounding)


@pytest.mark.parametrize("name", NAMES)
def test_the_error_of_a_difference_is_that_of_fresh_noises(name: str) -> None:
    """The jackknife's standard error of a paired difference is the spread over fresh sets, to two fifths."""
    metric = coupled(name)
    drawn = [(pairs(0.5, 0.2, seed=seed), pairs(0.4, 0.2, seed=seed)) for seed in range(100)]
    spread = np.std([metric.value(worse) - metric.value(better) for worse, better in drawn])
    stated = np.mean([bootstrap.difference_error(metric, *pair) for pair in drawn[:30]])
    assert stated == pytest.approx(spread, rel=0.4)


def test_few_noises_rank_as_many_do() -> None:
    """On 32 noises the coupled Fréchet distance orders schedules as it does on 512, where the distance to the data
    orders them less well: which noises were drawn cancels."""
    denoiser = models.zoo.load("digits-mixture")
    evaluator, space, rng = Evaluator(denoiser, (1, 8, 8)), Space(denoiser.process, 4), np.random.default_rng(0)
    schedules = [proposals.uniform(space, rng) for _ in range(20)]
    objectives = [Objective("frechet", "digits", "teacher"), Objective("frechet", "digits", "digits")]
    judges = [metrics.of(objective) for objective in objectives]

    def values(k: int, noises: NoiseSet) -> list[float]:
        observed = [observe(evaluator, noises, schedule, objectives[k : k + 1])[0] for schedule in schedules]
        return [judges[k].value(rows) for rows in observed]

    truth = values(1, NoiseSet(0, "truth", 512))
    to_teacher, to_data = (kendalltau(values(k, NoiseSet(0, "search", 32)), truth).statistic for k in (0, 1))
    assert to_teacher > max(to_data, 0.7)


def test_what_is_no_pair_is_refused() -> None:
    """With half a pair there is nothing to compare, and against the teacher there is no data set to load."""
    with pytest.raises(InvalidInput, match="features of two samples each, got 3 numbers"):
        coupled("kid").values(np.zeros((4, 3)), np.ones((1, 4)))
    with pytest.raises(InvalidInput, match="there is no data set to load"):
        _ = Frechet(pixels).statistics
