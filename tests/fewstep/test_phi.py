"""The φ functions against their defining series in exact rational arithmetic."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.steps.phi import phi

EPS = Fraction(1, 2**52)


def exact(k: int, z: float) -> Fraction:
    """Σ_j z^j/(j+k)!, summed as fractions until the rest is below 1e-40 of the sum's smallest possible size."""
    z = Fraction(z)
    term, total, j = Fraction(1, math.factorial(k)), Fraction(0), 0
    while abs(term) > Fraction(1, 10**60) or j < 2 * abs(z):
        total += term
        j += 1
        term *= z / (j + k)
    return total


@pytest.mark.parametrize("k", range(6))
@pytest.mark.parametrize(
    "z", [0.0, 1e-300, -1e-12, 1e-6, 0.3, -0.999, 1.0, -1.0, 2.5, -3.9, 4.1, -5.0, 9.0, -20.0, 25.0]
)
def test_phi_is_exact_to_a_few_units_in_the_last_place(k: int, z: float) -> None:
    """Each φ_k agrees with its series summed in fractions, on both sides of the switch from series to recursion."""
    wanted = exact(k, z)
    assert abs(Fraction(phi(k, z)) - wanted) <= 8 * EPS * abs(wanted)


@given(st.integers(0, 5), st.floats(-12, 12))
def test_phi_is_exact_everywhere_near_zero(k: int, z: float) -> None:
    """No argument in the range of real steps loses digits."""
    wanted = exact(k, z)
    assert abs(Fraction(phi(k, z)) - wanted) <= 8 * EPS * abs(wanted)


@pytest.mark.parametrize("k", range(1, 6))
def test_phi_of_zero_is_one_over_k_factorial(k: int) -> None:
    """φ_k(0) = 1/k!, exactly as float64 has it."""
    assert phi(k, 0.0) == 1 / math.factorial(k)


@given(st.integers(0, 4), st.floats(-30, 30).filter(lambda z: abs(z) > 1e-3))
def test_phi_obeys_its_recursion(k: int, z: float) -> None:
    """z·φ_{k+1}(z) = φ_k(z) − 1/k!."""
    left, right = z * phi(k + 1, z), phi(k, z) - 1 / math.factorial(k)
    assert left == pytest.approx(right, abs=1e-14 * (abs(phi(k, z)) + 1))


def test_phi_of_a_very_long_step_stays_finite() -> None:
    """A data step over 600 units of log-SNR has φ_k(−h) ≈ 1/((k−1)!·h)."""
    assert phi(1, -600.0) == pytest.approx(1 / 600)
    assert phi(4, -600.0) == pytest.approx(1 / (6 * 600), rel=1e-2)
