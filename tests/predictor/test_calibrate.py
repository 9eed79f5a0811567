"""Conformal scales, against forecasters whose mistake about themselves is known."""

import numpy as np
import pytest

from fewstep.predictor.calibrate import FOLDS, milestone, scale
from fewstep.predictor.report import coverage

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("factor", [0.25, 1.0, 3.0])
def test_intervals_hold_after_scaling(factor: float) -> None:
    """Deviations understated or overstated by a factor are set right: the scale is that factor, coverage 80 %."""
    errors, stated = RNG.normal(0, factor, 2000), np.ones(2000)
    found = scale(lambda known, new: (np.zeros(len(new)), stated[new]), errors, seed=0)
    assert found == pytest.approx(factor, rel=0.07)
    fresh = RNG.normal(0, factor, 4000)
    assert coverage(np.zeros(4000), np.full(4000, found), fresh) == pytest.approx(0.8, abs=0.03)


def test_errors_with_heavy_tails_are_covered_as_often() -> None:
    """The scale is a quantile, not a variance: single wild errors do not widen all intervals."""
    errors = RNG.standard_t(1.5, size=3000)
    found = scale(lambda known, new: (np.zeros(len(new)), np.ones(len(new))), errors, seed=0)
    fresh = RNG.standard_t(1.5, size=6000)
    assert coverage(np.zeros(6000), np.full(6000, found), fresh) == pytest.approx(0.8, abs=0.03)


def test_no_trial_is_forecast_from_itself() -> None:
    """Each is asked for once, and is not among those that the forecast is fitted to."""
    asked: list[int] = []

    def forecast(known: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert not set(known) & set(new)
        assert len(known) + len(new) == 30
        asked.extend(new)
        return np.zeros(len(new)), np.ones(len(new))

    scale(forecast, RNG.normal(size=30), seed=3)
    assert sorted(asked) == list(range(30))


def test_few_residuals_change_little() -> None:
    """With a handful of trials the scale stays between one and what they say; perfect forecasts leave it positive."""
    few = scale(lambda known, new: (np.zeros(len(new)), np.ones(len(new))), np.full(FOLDS, 10.0), seed=0)
    assert 1 < few < 3
    assert scale(lambda known, new: (np.zeros(len(new)), np.ones(len(new))), np.zeros(40), seed=0) > 0


def test_milestones_grow_by_half() -> None:
    """A milestone stays until half as many trials again are there."""
    found = [milestone(count, 16) for count in range(200)]
    assert sorted(set(found)) == [0, 16, 24, 36, 54, 81, 121, 182]
    assert all(size <= count for count, size in enumerate(found))
