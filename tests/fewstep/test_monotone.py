"""Monotone curves: the same as SciPy's PCHIP, and inverses that never leave their knots."""

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from fewstep.errors import InvalidInput
from fewstep.grids.monotone import interpolate, invert_length


@pytest.mark.parametrize("count", [2, 3, 4, 30])
@pytest.mark.parametrize("seed", range(4))
def test_curves_are_those_of_an_independent_implementation(count: int, seed: int) -> None:
    """Any values on any rising knots, monotone or not, agree with SciPy to rounding."""
    rng = np.random.default_rng(seed)
    knots, values = np.cumsum(rng.uniform(0.01, 2, count)), rng.normal(size=count)
    where = np.concatenate([np.linspace(knots[0], knots[-1], 200), knots])
    np.testing.assert_allclose(interpolate(knots, values, where), PchipInterpolator(knots, values)(where), atol=1e-12)


def test_curves_are_flat_beyond_their_ends() -> None:
    """Outside the knots the nearest end's value is taken."""
    assert interpolate(np.array([0.0, 1.0]), np.array([2.0, 3.0]), np.array([-1.0, 5.0])).tolist() == [2.0, 3.0]


def test_shares_of_a_length_are_found_where_it_grows() -> None:
    """Shares rise with their places, both ends are kept, and where nothing grows there are no places."""
    knots, increments = np.linspace(0, 5, 6), np.array([1.0, 0.0, 0.0, 3.0, 0.5])
    places = invert_length(knots, increments, np.linspace(0, 1, 101))
    assert places[0] == 0.0
    assert places[-1] == 5.0
    assert np.all(np.diff(places) > 0)
    assert invert_length(knots, increments, np.array([1.0 / 4.5]))[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("knots", "increments", "words"),
    [
        ([0.0, 1.0], [-1.0], "finite increments >= 0"),
        ([0.0, 1.0], [np.nan], "finite increments >= 0"),
        ([0.0, 1.0], [0.0], "not all zero"),
    ],
)
def test_lengths_that_do_not_grow_are_refused(knots: list[float], increments: list[float], words: str) -> None:
    """Negative, missing and vanishing costs have no arc length."""
    with pytest.raises(InvalidInput, match=words):
        invert_length(np.array(knots), np.array(increments), np.array([0.5]))


def test_knots_that_do_not_rise_are_refused() -> None:
    """A curve wants distinct knots in order."""
    with pytest.raises(InvalidInput, match="rising knots"):
        interpolate(np.array([0.0, 0.0]), np.array([1.0, 2.0]), np.array([0.0]))
