"""One behavioural suite over all regressors."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from fewstep.predictor.rankers import REGRESSORS, Regressor, gaussian_process

RNG = np.random.default_rng(0)
KNOWN, NEW = RNG.normal(size=(80, 5)), RNG.normal(size=(200, 5))


def truth(x: np.ndarray) -> np.ndarray:
    """Two smooth targets (n, 2)."""
    return np.column_stack([np.sin(x[:, 0]) + x[:, 1], x[:, 2] - 0.5 * x[:, 0] ** 2])


@pytest.fixture(params=REGRESSORS.values(), ids=REGRESSORS)
def fit(request: pytest.FixtureRequest) -> Regressor:
    """Each regressor in turn."""
    return request.param


def test_smooth_targets_are_learned(fit: Regressor):
    """Both targets are ranked well on rows it has not seen."""
    mean, std = fit(KNOWN, truth(KNOWN), 0, 80)(NEW)
    assert mean.shape == std.shape == (200, 2)
    for target in range(2):
        assert kendalltau(mean[:, target], truth(NEW)[:, target]).statistic > 0.55


def test_same_arguments_same_forecast(fit: Regressor):
    """Nothing but the arguments and the seed matters."""
    first, second = (fit(KNOWN, truth(KNOWN), 7, 80)(NEW) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_certainty_is_highest_where_it_has_measured(fit: Regressor):
    """Known rows have smaller standard deviations than rows far away."""
    forecast = fit(KNOWN, truth(KNOWN), 0, 80)
    assert forecast(KNOWN)[1].mean() < 0.7 * forecast(3 * NEW)[1].mean()


def test_units_of_the_targets_do_not_matter(fit: Regressor):
    """Targets times 8 plus 3 give forecasts times 8 plus 3, and standard deviations times 8, but for trees' ties."""
    mean, std = fit(KNOWN, truth(KNOWN), 0, 80)(NEW)
    other_mean, other_std = fit(KNOWN, 8 * truth(KNOWN) + 3, 0, 80)(NEW)
    assert np.abs(other_mean - (8 * mean + 3)).mean() < 0.03 * other_mean.std()
    assert np.abs(other_std - 8 * std).mean() < 0.05 * other_std.mean()


def test_targets_all_alike_are_forecast_alike(fit: Regressor):
    """A constant target is forecast everywhere, with finite certainty."""
    mean, std = fit(KNOWN, np.full((80, 2), 4.0), 0, 80)(NEW)
    np.testing.assert_allclose(mean, 4.0, atol=1e-6)
    assert np.all(np.isfinite(std))


def test_features_that_never_varied_are_harmless(fit: Regressor):
    """A feature that was constant in training does not decide a forecast where it differs by rounding."""
    padded = [np.column_stack([rows, np.full(len(rows), value)]) for rows, value in ((KNOWN, 1.0), (NEW, 1.0 + 1e-7))]
    mean, _ = fit(padded[0], truth(KNOWN), 0, 80)(padded[1])
    assert kendalltau(mean[:, 0], truth(NEW)[:, 0]).statistic > 0.55


def test_gaussian_process_carries_a_trend_beyond_the_data():
    """A linear target is extrapolated: twice as far out, the forecast is still nearly right."""
    slopes = np.array([[1.0, -1.0], [0.5, 0.0], [0.0, 2.0], [0.0, 0.0], [1.0, 1.0]])
    far = 2 * NEW[np.abs(NEW).max(axis=1) < 1.5]
    mean, _ = gaussian_process(KNOWN, KNOWN @ slopes, 0)(far)
    np.testing.assert_allclose(mean, far @ slopes, atol=0.25 * (far @ slopes).std())
