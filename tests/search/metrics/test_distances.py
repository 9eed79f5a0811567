"""Distances between distributions, against closed forms."""

from functools import partial

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import wasserstein_distance

from fewstep.errors import InvalidInput
from fewstep.search.metrics.features import pixels
from fewstep.search.metrics.frechet import Frechet, distance
from fewstep.search.metrics.kernel import KernelDistance, gaussian, median_distance, polynomial
from fewstep.search.metrics.moments import Moments
from fewstep.search.metrics.reference import Reference, from_rows
from fewstep.search.metrics.wasserstein import SlicedWasserstein, directions


def once(rows: np.ndarray) -> np.ndarray:
    return np.ones((1, len(rows)), dtype=int)


def exactly(rows: np.ndarray, mean: np.ndarray, root: np.ndarray) -> np.ndarray:
    """The rows, moved and turned so that their mean is ``mean`` and their unbiased covariance is root rootᵀ."""
    centred = rows - rows.mean(axis=0)
    white = centred @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(centred.T)))).T
    return mean + white @ root.T


def test_frechet_distance_of_gaussians_is_the_closed_form() -> None:
    """Rows and streamed moments of two full covariances give |Δμ|² + tr(A + B − 2 (AB)^½)."""
    rng = np.random.default_rng(0)
    means, roots = rng.normal(size=(2, 5)), rng.normal(size=(2, 5, 5))
    rows, known = (exactly(rng.normal(size=(400, 5)), mean, root) for mean, root in zip(means, roots, strict=True))
    a, b = (root @ root.T for root in roots)
    expected = np.sum((means[0] - means[1]) ** 2) + np.trace(a + b) - 2 * np.trace(sqrtm(a @ b)).real
    reference = from_rows(known)
    assert Frechet(pixels, lambda: reference).values(rows, once(rows))[0] == pytest.approx(expected, rel=1e-8)
    assert distance(Moments.of(rows), Reference(means[1], b)) == pytest.approx(expected, rel=1e-8)


def test_frechet_distance_in_one_dimension() -> None:
    """(μ − m)² + (s − r)²: 3² + (2 − 5)² = 18."""
    rows = exactly(np.random.default_rng(1).normal(size=(50, 1)), np.array([1.0]), np.array([[2.0]]))
    reference = Reference(np.array([4.0]), np.array([[25.0]]))
    assert Frechet(pixels, lambda: reference).values(rows, once(rows))[0] == pytest.approx(18.0)


@pytest.mark.parametrize("count", [2, 3, 40])
def test_fewer_noises_than_features_are_no_trouble(count: int) -> None:
    """With covariances of rank 1, 2 and full the distance agrees with the moments' and is finite."""
    rng = np.random.default_rng(2)
    rows, known = rng.normal(size=(count, 8)), rng.normal(size=(6, 8))  # the reference is of rank 5
    value = Frechet(pixels, lambda: from_rows(known)).values(rows, once(rows))[0]
    assert value == pytest.approx(distance(Moments.of(rows), from_rows(known)), abs=1e-6)
    assert value > 0


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_a_law_is_at_no_distance_from_itself(rank: int) -> None:
    """Also where covariances are singular, down to a constant."""
    rng = np.random.default_rng(3)
    rows = 5.0 + rng.normal(size=(60, rank)) @ rng.normal(size=(rank, 6))
    reference = from_rows(rows)
    assert Frechet(pixels, lambda: reference).values(rows, once(rows))[0] == pytest.approx(0.0, abs=1e-6)
    assert SlicedWasserstein(pixels, lambda: reference).values(rows, once(rows))[0] == 0.0


@pytest.mark.parametrize("deviations", [np.ones(8), np.array([2.0, 1.0, 0.5, 0.1])], ids=["unit", "unequal"])
def test_the_bias_of_frechet_is_the_stated_one(deviations: np.ndarray) -> None:
    """The mean value for equal laws is the first-order formula, to 5 %."""
    rng, n, v = np.random.default_rng(4), 400, deviations**2
    metric = Frechet(pixels, lambda: Reference(np.zeros(len(v)), np.diag(v)))
    draws = [deviations * rng.normal(size=(n, len(v))) for _ in range(400)]
    pairs = (1 + np.eye(len(v))) * np.outer(v, v) / (2 * np.add.outer(v, v))
    mean = np.mean([metric.values(rows, once(rows))[0] for rows in draws])
    assert mean == pytest.approx((v.sum() + pairs.sum()) / n, rel=0.05)


@pytest.mark.parametrize("kernel", [polynomial, None], ids=["polynomial", "gaussian"])
def test_kernel_distances_have_no_bias(kernel) -> None:
    """For equal laws the mean over many draws of both sides is zero within three standard errors, however few rows."""
    rng, values = np.random.default_rng(5), []
    for _ in range(400):
        rows, known = rng.normal(size=(2, 12, 3))
        values.append(KernelDistance(pixels, partial(from_rows, known), kernel).values(rows, once(rows))[0])
    assert abs(np.mean(values)) < 3 * np.std(values) / 20
    assert 0.3 < np.mean(np.array(values) < 0) < 0.8


def test_kernel_distance_of_shifted_gaussians_is_the_closed_form() -> None:
    """N(0, 1) against N(δ, 1) in F dimensions: d² = 2 (ℓ²/(ℓ² + 2))^(F/2) (1 − exp(−|δ|²/(2 (ℓ² + 2))))."""
    rng, length, shift = np.random.default_rng(6), 1.5, np.array([0.8, 0.0, -0.4])
    rows, known = rng.normal(size=(3000, 3)) + shift, rng.normal(size=(3000, 3))
    wide = length**2 + 2
    expected = 2 * (length**2 / wide) ** 1.5 * (1 - np.exp(-shift @ shift / (2 * wide)))
    metric = KernelDistance(pixels, lambda: from_rows(known), gaussian(length))
    assert metric.values(rows, once(rows))[0] == pytest.approx(expected, rel=0.1)


def test_kernel_distance_by_hand() -> None:
    """Two rows against two, polynomial kernel, all pairs written out; blocks of the reference do not matter."""
    rows, known = np.array([[0.0], [1.0]]), np.array([[2.0], [-1.0]])
    # k(0, 1) = 1; k(2, −1) = (−1)³; k(0, ·) = 1, 1; k(1, 2) = 27, k(1, −1) = 0
    expected = 1.0 - 1.0 - 2 * (1 + 1 + 27 + 0) / 4
    metric = KernelDistance(pixels, lambda: from_rows(known), polynomial)
    assert metric.values(rows, once(rows))[0] == pytest.approx(expected)


def test_a_kernels_length_is_the_median_distance() -> None:
    """Of 0, 1 and 3 the distances are 1, 2 and 3; a length that is not positive is refused."""
    assert median_distance(np.array([[0.0], [1.0], [3.0]])) == 2.0
    with pytest.raises(InvalidInput, match="positive length, got 0"):
        gaussian(median_distance(np.zeros((5, 2))))


def test_sliced_wasserstein_of_a_shift_is_its_mean_projection() -> None:
    """Moving all rows by δ costs √(mean_u (u·δ)²) exactly, about |δ|/√F."""
    rows = np.random.default_rng(7).normal(size=(90, 6))
    shift = np.array([3.0, 0, 0, 0, 4.0, 0])
    value = SlicedWasserstein(pixels, lambda: from_rows(rows), count=500, seed=3).values(rows + shift, once(rows))[0]
    assert value == pytest.approx(np.sqrt(np.mean((shift @ directions(6, 500, 3)) ** 2)))
    assert value == pytest.approx(5 / np.sqrt(6), rel=0.1)


def test_sliced_wasserstein_of_unequal_numbers_is_exact() -> None:
    """In one dimension, 7 rows above all of 5 others: the root mean square agrees with splitting both into 35."""
    rng = np.random.default_rng(8)
    rows, known = rng.normal(size=(7, 1)), rng.normal(size=(5, 1))
    value = SlicedWasserstein(pixels, lambda: from_rows(known), count=3).values(rows, once(rows))[0]
    split = [np.sort(np.repeat(part[:, 0], times)) for part, times in ((rows, 5), (known, 7))]
    assert value == pytest.approx(np.sqrt(np.mean((split[0] - split[1]) ** 2)))
    assert value >= wasserstein_distance(rows[:, 0], known[:, 0])  # of order 1, by an independent hand


def test_moments_alone_are_not_enough_for_distances_of_rows() -> None:
    """Kernel and Wasserstein distances say that they want the images."""
    reference = Reference(np.zeros(2), np.eye(2))
    for metric in (KernelDistance(pixels, lambda: reference), SlicedWasserstein(pixels, lambda: reference)):
        with pytest.raises(InvalidInput, match="make it from the images"):
            metric.values(np.zeros((4, 2)), np.ones((1, 4), dtype=int))
