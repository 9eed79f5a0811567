"""docs/maths.md, equations of steps: compiled rows against quadratures, linear systems and sums written out here."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import quad

from fewstep import Step
from fewstep.processes import DDM, VE, Flow, Process, VPLinear
from fewstep.steps.phi import phi
from tests.docs.equations import TIMES, Run, varphi

CLOSE = {"rtol": 1e-8, "atol": 1e-9}
LAWS = [VPLinear(), Flow(shift=3.0), DDM()]
each_law = pytest.mark.parametrize("law", LAWS, ids=lambda law: law.kind)
each_form = pytest.mark.parametrize("form", ["data", "noise"])
FIRST = (Step(), Step(), Step())


def outputs(run: Run, form: str) -> np.ndarray:
    """f_j: D_j or ε_j, (N, 3)."""
    return run.D if form == "data" else run.eps


def full(order: int, start: int) -> list[list[int]]:
    """The points of a step's derivatives by default, as they lie back from the target."""
    return [[p for p in (-1, -2, -3, -4) if p != start][: order - 1]] * (order - 1)


@pytest.mark.parametrize("law", [*LAWS, VE()], ids=lambda law: law.kind)
def test_rows_keep_constants(law: Process) -> None:
    """(11)–(14): with D the same in every call, rows move α x_0 + σ ε along; start and sum of a row say so."""
    steps = (Step(), Step("noise", 2), Step(order=3, scale="bh1"), Step("noise", 3, variable="t"))
    run = Run(law, steps)
    table = run.tableau
    assert_allclose(table.start * run.sigma[0], run.sigma[1:], **CLOSE)
    assert_allclose(table.start * run.alpha[0] + table.outputs.sum(1), run.alpha[1:], **CLOSE)
    told = Run(law, (Step(), Step(offset=-0.01))).tableau
    assert told.network_times.tolist() == [0.9, 0.7 - 0.01]
    eps, x0 = np.ones(3), np.arange(3.0)
    y = [run.alpha[0] * x0 + run.sigma[0] * eps]
    for i in range(4):
        y.append(table.start[i] * y[0] + table.outputs[i].sum() * x0)
        assert_allclose((y[-1] - run.alpha[i + 1] * x0) / run.sigma[i + 1], eps, **CLOSE)


@each_law
@each_form
@pytest.mark.parametrize("variable", ["lambda", "t", "rho"])
@pytest.mark.parametrize(("order", "start"), [(2, -1), (3, -1), (4, -1), (2, -2), (3, -3)])
def test_steps_integrate_their_polynomial(law: Process, form: str, variable: str, order: int, start: int) -> None:
    """(15), (16), (18), (19), (24), (25): moments by quadrature, derivatives from the polynomial's linear system."""
    run = Run(law, (*FIRST, Step(form, order, variable=variable, start=start)))
    s, t = 4 + start, 4
    sets = [[t + p for p in each] for each in full(order, start)]
    a, _ = run.shape(form, s, t)
    moments = run.moments(form, variable, s, t, order)
    parts = run.coefficients(outputs(run, form), variable, s, sets)
    assert_allclose(run.y[t], a * run.y[s] + sum(m * c for m, c in zip(moments, parts, strict=True)), **CLOSE)


@each_form
@pytest.mark.parametrize("points", [((-2,), (-2, -4)), ((-3,), (-2, -3)), ((-2, -3, -4), (-3, -4))])
def test_each_derivative_has_its_own_points(form: str, points: tuple[tuple[int, ...], ...]) -> None:
    """(24): low-order estimates, from k or more outputs each."""
    run = Run(VPLinear(), (*FIRST, Step(form, 3, points=points, second=0.5)))
    a, _ = run.shape(form, 3, 4)
    moments = run.moments(form, "lambda", 3, 4, 3)
    c = run.coefficients(outputs(run, form), "lambda", 3, [[4 + p for p in each] for each in points])
    want = a * run.y[3] + moments[0] * c[0] + moments[1] * c[1] + 0.5 * moments[2] * c[2]
    assert_allclose(run.y[4], want, **CLOSE)


@pytest.mark.parametrize("law", [Flow(shift=3.0), DDM(), VE()], ids=lambda law: law.kind)
@pytest.mark.parametrize("order", [2, 3, 4])
def test_velocity_steps(law: Process, order: int) -> None:
    """(17)–(19) in velocity form: the polynomials of D against dα and of ε against dσ, in t."""
    run = Run(law, (*FIRST, Step(order=order, variable="velocity")))
    sets = [[4 + p for p in each] for each in full(order, -1)]
    want = run.y[3].copy()
    for f, scale in ((run.D, law.alpha), (run.eps, law.sigma)):
        for k, c in enumerate(run.coefficients(f, "t", 3, sets)):

            def slope(t: float, k: int = k, scale=scale) -> float:  # x^k dα/dt by a central difference of high order
                e = 1e-3
                near = [float(scale(t + j * e)) for j in (-3, -2, -1, 1, 2, 3)]
                rise = sum(w * v for w, v in zip((-1, 9, -45, 45, -9, 1), near, strict=True)) / (60 * e)
                return (t - run.t[3]) ** k * rise

            want += quad(slope, run.t[3], run.t[4], epsabs=1e-12)[0] * c
    assert_allclose(run.y[4], want, rtol=1e-7, atol=1e-7)


@each_law
@each_form
def test_moments_have_closed_forms(law: Process, form: str) -> None:
    """(20)–(22): what the quadratures of (19) come to in λ, with φ by its recursion, and in ρ in noise form."""
    run = Run(law, (*FIRST, Step()))
    h = float(run.lam[4] - run.lam[3])
    for k, moment in enumerate(run.moments(form, "lambda", 3, 4, 4)):
        z, scale = (-h, run.alpha[4]) if form == "data" else (h, -run.sigma[4])
        assert_allclose(moment, scale * math.factorial(k) * h ** (k + 1) * varphi(k + 1, z), rtol=1e-9)
        assert_allclose(phi(k, z), varphi(k, z), rtol=1e-12)
    assert phi(3, 0.0) == 1 / 6
    if form == "noise":
        rho = np.exp(-run.lam)
        for k, moment in enumerate(run.moments(form, "rho", 3, 4, 4)):
            want = run.alpha[4] * rho[3] * (rho[4] / rho[3] - 1) ** (k + 1) / (k + 1)
            assert_allclose(moment, want, rtol=1e-9)


@each_law
@pytest.mark.parametrize("choices", [{}, {"prediction": "noise"}, {"variable": "t"}, {"variable": "velocity"}])
def test_first_order_is_ddim(law: Process, choices: dict) -> None:
    """(23): whatever the form and variable, one output makes α_t D + σ_t ε."""
    run = Run(law, (*FIRST, Step(**choices)))
    assert_allclose(run.y[4], run.alpha[4] * run.D[3] + run.sigma[4] * run.eps[3], **CLOSE)
    alpha, sigma = run.alpha, run.sigma
    moments = run.moments("data", "lambda", 3, 4, 1) + run.moments("noise", "lambda", 3, 4, 1)
    wanted = [alpha[4] - sigma[4] / sigma[3] * alpha[3], sigma[4] - alpha[4] / alpha[3] * sigma[3]]
    assert_allclose(moments, wanted, rtol=1e-9)


SCALES = {
    "none": lambda z, rise: 1.0,
    "bh1": lambda z, rise: 1 / (2 * varphi(2, z)),
    "bh2": lambda z, rise: varphi(1, z) / (2 * varphi(2, z)),
    "0.5exp": lambda z, rise: 1 + (math.exp(z) - 1) / 2,
    "-0.5exp": lambda z, rise: 1 - (math.exp(z) - 1) / 2,
    "linear": lambda z, rise: 1 + rise,
}


@each_law
@each_form
@pytest.mark.parametrize("scale", SCALES)
def test_scales(law: Process, form: str, scale: str) -> None:
    """(25) with (26): the factor of the first derivative; the second's is a number."""
    run = Run(law, (*FIRST, Step(form, 3, scale, slope=0.3 if scale == "linear" else 0.0, second=0.7)))
    h = float(run.lam[4] - run.lam[3])
    g = [1.0, SCALES[scale](-h if form == "data" else h, 0.3 * h), 0.7]
    a, _ = run.shape(form, 3, 4)
    moments = run.moments(form, "lambda", 3, 4, 3)
    parts = run.coefficients(outputs(run, form), "lambda", 3, [[2, 1]] * 2)
    assert_allclose(run.y[4], a * run.y[3] + sum(x * m * c for x, m, c in zip(g, moments, parts, strict=True)), **CLOSE)


@each_law
@pytest.mark.parametrize("form", ["data", "noise", "velocity"])
def test_fixed_weights(law: Process, form: str) -> None:
    """(27): Adams–Bashforth's third order, and half of each end from further back."""
    choices = {"variable": "velocity"} if form == "velocity" else {"prediction": form}
    for start, w in ((-1, (23 / 12, -16 / 12, 5 / 12)), (-2, (1 / 2, 1 / 2))):
        run = Run(law, (*FIRST, Step(order=len(w), weights=w, start=start, **choices)))
        s = 4 + start
        alpha, sigma = run.alpha, run.sigma
        mean = {name: sum(x * f[3 - j] for j, x in enumerate(w)) for name, f in (("D", run.D), ("e", run.eps))}
        want = {
            "data": sigma[4] / sigma[s] * run.y[s] + (alpha[4] - sigma[4] / sigma[s] * alpha[s]) * mean["D"],
            "noise": alpha[4] / alpha[s] * run.y[s] + (sigma[4] - alpha[4] / alpha[s] * sigma[s]) * mean["e"],
            "velocity": run.y[s] + (alpha[4] - alpha[s]) * mean["D"] + (sigma[4] - sigma[s]) * mean["e"],
        }
        assert_allclose(run.y[4], want[form], **CLOSE)


@each_law
@each_form
@pytest.mark.parametrize("points", [(), ((-2,), (-3,))])
def test_the_corrector_is_the_step_with_the_new_output(law: Process, form: str, points: tuple) -> None:
    """(28): the next step starts from the state made anew; outputs stay those at the predicted states."""
    low = {"points": ((-2,), (-2, -3))} if points else {}
    run = Run(law, (*FIRST[:2], Step(form, 3, corrector=4, corrector_scale="bh2", **low), Step()), TIMES)
    h = float(run.lam[3] - run.lam[2])
    a, _ = run.shape(form, 2, 3)
    g = [1.0, SCALES["bh2"](-h if form == "data" else h, 0.0), 1.0, 1.0]
    sets = [[3, 1], [3, 1, 0], [3, 1, 0]] if points else [[3, 1, 0]] * 3
    moments = run.moments(form, "lambda", 2, 3, 4)
    parts = run.coefficients(outputs(run, form), "lambda", 2, sets)
    corrected = a * run.y[2] + sum(x * m * c for x, m, c in zip(g, moments, parts, strict=True))
    move = run.sigma[4] / run.sigma[3]
    assert_allclose(run.y[4], move * corrected + (run.alpha[4] - move * run.alpha[3]) * run.D[3], **CLOSE)


NEW = {  # 1 − κ²
    "ancestral": lambda eta, h, ratio: eta**2 * (1 - math.exp(-2 * h)),
    "bridge": lambda eta, h, ratio: eta**2 * (1 - ratio**2),
    "langevin": lambda eta, h, ratio: 1 - math.exp(-2 * eta**2 * h),
}


@each_law
@pytest.mark.parametrize("kind", NEW)
@pytest.mark.parametrize("eta", [0.6, 1.0])
def test_fresh_noise(law: Process, kind: str, eta: float) -> None:
    """(29) and (30): first order in any form, and second order with the integral that decays at its own rate."""
    for form in ("data", "noise"):
        run = Run(law, (*FIRST, Step(form, eta=eta, noise=kind)))
        h, alpha, sigma = float(run.lam[4] - run.lam[3]), run.alpha, run.sigma
        kept = math.sqrt(1 - NEW[kind](eta, h, sigma[4] / sigma[3]))
        fresh = math.sqrt(1 - kept**2) * run.z[0]
        assert_allclose(run.y[4], alpha[4] * run.D[3] + sigma[4] * (kept * run.eps[3] + fresh), **CLOSE)
    run = Run(law, (*FIRST, Step(order=2, scale="bh1", eta=eta, noise=kind)))
    rate = 1 - math.log(kept) / h
    if kind == "langevin":
        assert rate == pytest.approx(1 + eta**2)

    def kernel(lam: float) -> float:
        return alpha[4] * rate * math.exp(rate * (lam - run.lam[4]))

    ends = (run.lam[3], run.lam[4])
    moments = [quad(lambda lam, k=k: kernel(lam) * (lam - run.lam[3]) ** k, *ends, epsabs=1e-13)[0] for k in (0, 1)]
    closed = [alpha[4] * rate * h ** (k + 1) * varphi(k + 1, -rate * h) for k in (0, 1)]
    assert_allclose(moments, closed, rtol=1e-9)
    parts = run.coefficients(run.D, "lambda", 3, [[2]])
    want = kept * sigma[4] / sigma[3] * run.y[3] + moments[0] * parts[0]
    want = want + SCALES["bh1"](-rate * h, 0.0) * moments[1] * parts[1]
    assert_allclose(run.y[4], want + sigma[4] * math.sqrt(1 - kept**2) * run.z[0], **CLOSE)


@pytest.mark.parametrize("law", [Flow(shift=3.0), DDM()], ids=lambda law: law.kind)
def test_ends(law: Process) -> None:
    """(31) and (32): first order from pure noise and to clean data in λ; in t the polynomial reaches the end."""
    run = Run(law, (Step(), Step(), Step()), (1.0, 0.6, 0.3, 0.0))
    assert_allclose(run.y[1], run.sigma[1] / run.sigma[0] * run.y[0] + run.alpha[1] * run.D[0], **CLOSE)
    assert_allclose(run.y[3], run.alpha[3] * run.D[2], **CLOSE)
    for order in (2, 3):
        run = Run(law, (Step(), Step(), Step(order=order, variable="t")), (1.0, 0.6, 0.3, 0.0))
        line = np.polynomial.polynomial.polyfit(run.t[:3][::-1][:order], run.D[::-1][:order], order - 1)
        assert_allclose(run.y[3], run.alpha[3] * line[0], **CLOSE)  # at t = 0
