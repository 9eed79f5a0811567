"""The weights of a multistep row against exact rational arithmetic, also where outputs lie very close together."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.steps.difference import combine
from fewstep.steps.exponential import SCALES, first_factor, moments


def output_weights(gap: float, older: np.ndarray, prediction: str, scale: str = "none") -> list[float]:
    """Weights of f(s) and of outputs at λ − λ_s = ``older`` (m,) in Σ_k h^{k+1} φ_{k+1}(z) D_k, as steps make them."""
    count = len(older)
    integrals = moments(gap, -1.0 if prediction == "data" else 1.0, count + 1)
    if count:
        integrals[1] *= first_factor(gap, prediction, scale, 0.0)
    outputs = range(1, count + 1)
    weights = combine(integrals, [outputs] * count, dict(zip(outputs, older.tolist(), strict=True)), 0)
    return [weights[p] for p in range(count + 1)]


def integral(k: int, gap: Fraction, sign: int) -> Fraction:
    """h^{k+1} φ_{k+1}(±h), by its series."""
    term, total, j = gap ** (k + 1) / math.factorial(k + 1), Fraction(0), 0
    while abs(term) > Fraction(1, 10**50) or j < 3 * gap:
        total += term
        j += 1
        term *= sign * gap / (j + k + 1)
    return total


def solve(matrix: list[list[Fraction]], right: list[Fraction]) -> list[Fraction]:
    """Gauss's elimination in fractions."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i in range(len(rows)):
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for j in range(len(rows)):
            if j != i:
                rows[j] = [x - rows[j][i] * y for x, y in zip(rows[j], rows[i], strict=True)]
    return [row[-1] for row in rows]


def truth(gap: float, older: list[float], prediction: str) -> list[Fraction]:
    """The weights that integrate every power λ^i, i = 0 … m, exactly."""
    h, points = Fraction(gap), [Fraction(p) for p in older]
    terms = [integral(k, h, -1 if prediction == "data" else 1) for k in range(len(older) + 1)]
    matrix = [[p**i / math.factorial(i) for p in points] for i in range(1, len(older) + 1)]
    weights = solve(matrix, terms[1:])
    return [terms[0] - sum(weights), *weights]


@given(
    st.floats(-4, 1.2),
    st.lists(st.floats(-5.5, 1), min_size=0, max_size=3),
    st.sampled_from(["data", "noise"]),
)
def test_weights_are_exact_to_rounding(log_gap: float, log_older: list[float], prediction: str) -> None:
    """Steps from 1e-4 to 16 and outputs from 3e-6 to 10 apart: no ratio of gaps costs digits."""
    gap, older = 10**log_gap, -np.cumsum(10 ** np.array(log_older))
    got = output_weights(gap, older, prediction)
    wanted = truth(gap, older.tolist(), prediction)
    size = max(abs(w) for w in wanted)
    assert max(abs(Fraction(g) - w) for g, w in zip(got, wanted, strict=True)) <= Fraction(1, 10**14) * size


@pytest.mark.parametrize("prediction", ["data", "noise"])
@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_tends_to_one(scale: str, prediction: str) -> None:
    """The factor of the first derivative is 1 + O(h), without loss of digits for tiny h."""
    for gap in (1e-2, 1e-5, 1e-8):
        assert first_factor(gap, prediction, scale, 0.5) == pytest.approx(1, abs=0.6 * gap + 1e-15)


@pytest.mark.parametrize("prediction", ["data", "noise"])
def test_scales_are_unipcs(prediction: str) -> None:
    """With B(h) = h and B(h) = e^h − 1 the older output weighs B·h/(2 z r) (UniPC, section 3.4)."""
    gap, r = 0.7, 0.4 / 0.7
    z = -gap if prediction == "data" else gap
    for scale, b in (("bh1", z), ("bh2", math.expm1(z))):
        older = output_weights(gap, np.array([-0.4]), prediction, scale)[1]
        assert older == pytest.approx(-0.5 * b * gap / z / r, rel=1e-12)
