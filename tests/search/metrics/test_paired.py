"""Paired errors, on numbers checked by hand."""

import numpy as np
import pytest
import torch

from fewstep.search.metrics import bootstrap
from fewstep.search.metrics.paired import P95, RMS, Median, Saturating, Trimmed, Typical, squared_distances
from fewstep.values.score import Score


def score(errors: np.ndarray, calls: int) -> Score:
    """The score of per-noise squared errors (n,)."""
    return bootstrap.score(RMS(), errors[:, None], calls)


def test_score_by_hand() -> None:
    """Errors 1, 3, 8 have mean 4, value 2 and standard error √13/√3/(2·2)."""
    scored = score(np.array([1.0, 3.0, 8.0]), calls=30)
    assert (scored.value, scored.noises, scored.calls) == (2.0, 3, 30)
    assert scored.standard_error == pytest.approx((13 / 3) ** 0.5 / 4)


def test_squared_errors_average_over_pixels() -> None:
    """One number per noise: the mean over all pixels of the squared difference."""
    samples = torch.tensor([[[1.0, 2.0]], [[0.0, 0.0]]])
    assert squared_distances(samples, torch.zeros(2, 1, 2)).tolist() == [2.5, 0.0]


def test_ratio_interval_is_paired_and_covers_the_truth_as_often_as_it_says() -> None:
    """Pairs with a constant ratio leave no width; of 100 intervals from unrelated pairs 88 to 100 cover the truth."""
    rng = np.random.default_rng(0)
    baseline = rng.exponential(size=300)
    metric = RMS()
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


def test_each_summary_by_hand() -> None:
    """Of twenty distances, nineteen of 1 and one of 100: the outlier makes the RMS, and nearly nothing else."""
    squares = np.array([1.0] * 19 + [100.0**2])[:, None]
    assert Typical().value(squares) == pytest.approx(100 ** (1 / 20))
    assert Trimmed().value(squares) == pytest.approx(1.0)
    assert RMS().value(squares) == pytest.approx((500.95) ** 0.5)
    assert (Median().value(squares), P95().value(squares)) == (1.0, 1.0)
    assert P95().value(np.vstack([squares, squares[-1:]])) == 100.0


def test_the_saturating_mean_is_a_root_mean_square_of_small_errors() -> None:
    """And about a geometric mean of large ones; its errors are beside the size of the teacher's samples."""
    small, large = np.array([[1e-8], [9e-8]]), np.array([[1.0], [10_000.0]])
    assert Saturating().value(small) == pytest.approx(RMS().value(small), rel=1e-3)
    assert Saturating().value(large) == pytest.approx(Typical().value(large), rel=1e-2)
    samples, targets = torch.full((2, 4), 2.2), torch.full((2, 4), 2.0)
    np.testing.assert_allclose(Saturating().observe(samples, targets), 0.01, rtol=1e-6)


def test_a_trimmed_mean_takes_part_of_the_noise_at_the_edge() -> None:
    """Of ten noises half a noise is left out."""
    squares = np.array([4.0] * 9 + [100.0])[:, None]
    assert Trimmed().value(squares) == pytest.approx(((9 * 4 + 0.5 * 100) / 9.5) ** 0.5)


def test_fewer_noises_tell_typical_errors_apart() -> None:
    """Of heavy-tailed distances the relative standard error is far below that of the RMS."""
    squares = np.exp(2 * np.random.default_rng(0).standard_t(3, size=(400, 1)))
    stated = {kind: kind().standard_error(squares) / kind().value(squares) for kind in (Typical, RMS)}
    assert stated[Typical] < 0.5 * stated[RMS]
