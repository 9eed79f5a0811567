"""The endpoint metric, on numbers checked by hand."""

import numpy as np
import pytest

from fewstep.search.metrics import bootstrap, endpoint
from fewstep.values.score import Score


def score(errors: np.ndarray, calls: int) -> Score:
    """The score of per-noise squared errors (n,)."""
    return bootstrap.score(endpoint.Endpoint(), errors[:, None], calls)


def test_score_by_hand() -> None:
    """Errors 1, 3, 8 have mean 4, value 2 and standard error √13/√3/(2·2)."""
    scored = score(np.array([1.0, 3.0, 8.0]), calls=30)
    assert (scored.value, scored.noises, scored.calls) == (2.0, 3, 30)
    assert scored.standard_error == pytest.approx((13 / 3) ** 0.5 / 4)


def test_squared_errors_average_over_pixels() -> None:
    """One number per noise: the mean over all pixels of the squared difference."""
    samples = np.array([[[1.0, 2.0]], [[0.0, 0.0]]])
    assert endpoint.squared_errors(samples, np.zeros((2, 1, 2))).tolist() == [2.5, 0.0]


def test_ratio_interval_is_paired_and_covers_the_truth_as_often_as_it_says() -> None:
    """Pairs with a constant ratio leave no width; of 100 intervals from unrelated pairs 88 to 100 cover the truth."""
    rng = np.random.default_rng(0)
    baseline = rng.exponential(size=300)
    metric = endpoint.Endpoint()
    pair = 0.25 * baseline[:, None], baseline[:, None]
    assert bootstrap.ratio_interval(metric, *pair, seed=0) == pytest.approx((0.5, 0.5))
    covered = 0
    for seed in range(100):
        errors, reference = 0.25 * rng.exponential(size=300), rng.exponential(size=300)
        low, high = bootstrap.ratio_interval(metric, errors[:, None], reference[:, None], seed)
        covered += low < 0.5 < high
    assert 88 <= covered <= 100


def test_standard_error_is_calibrated() -> None:
    """The stated standard error is the spread of the value over repeated draws, to 15 %."""
    rng = np.random.default_rng(1)
    scores = [score(rng.chisquare(4, size=200), 0) for _ in range(500)]
    spread = np.std([each.value for each in scores])
    assert np.mean([each.standard_error for each in scores]) == pytest.approx(spread, rel=0.15)
