"""What is particular to one noise law: its published definition, its range, its parameters."""

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
import torch

from fewstep import processes
from fewstep.errors import InvalidInput, UnknownName
from fewstep.processes import DDM, VE, Cosine, Discrete, Flow, VPLinear


@pytest.mark.parametrize("t", [0.001, 0.1, 0.5, 1.0])
def test_vp_linear_integrates_its_betas(t: float) -> None:
    """log ᾱ is minus the integral of β(s) = β_min + s (β_max − β_min); ᾱ = α²."""
    s = np.linspace(0, t, 10_001)
    beta = 0.1 + s * 19.9
    integral = float(np.trapezoid(beta, s))
    assert float(VPLinear().alpha(t)) ** 2 == pytest.approx(math.exp(-integral), rel=1e-9)


@pytest.mark.parametrize("t", [0.001, 0.2, 0.5, 0.9, 0.9946])
def test_cosine_is_nichol_and_dhariwals(t: float) -> None:
    """ᾱ(t) = f(t)/f(0) with f(t) = cos²(π/2·(t + s)/(1 + s)), on both sides of the switch between its two forms."""
    s = 0.008

    def f(t: float) -> float:
        return math.cos(math.pi / 2 * (t + s) / (1 + s)) ** 2

    assert float(Cosine().alpha(t)) ** 2 == pytest.approx(f(t) / f(0), rel=1e-11)


def test_cosine_keeps_its_digits_near_clean_data() -> None:
    """σ at t = 1e-9 has float64's relative precision, against the definition in 50 decimal digits."""
    getcontext().prec = 50
    pi = Decimal("3.1415926535897932384626433832795028841971693993751")

    def cos(x: Decimal) -> Decimal:
        term, total, k = Decimal(1), Decimal(0), 0
        while abs(term) > Decimal(10) ** -48:
            total += term
            k += 2
            term *= -x * x / (k * (k - 1))
        return total

    s, t = Decimal.from_float(0.008), Decimal.from_float(1e-9)
    alpha = cos(pi / 2 * (t + s) / (1 + s)) / cos(pi / 2 * s / (1 + s))
    wanted = (1 - alpha * alpha).sqrt()
    assert float(Cosine(t_min=0.0).sigma(1e-9)) == pytest.approx(float(wanted), rel=1e-13)


def test_cosine_may_start_from_pure_noise() -> None:
    """At t = 1 α is exactly 0 and λ is −∞, as a float and as a tensor, without a warning."""
    law = Cosine(t_max=1.0)
    for t in (1.0, torch.tensor(1.0, dtype=torch.float64)):
        assert float(law.alpha(t)) == 0.0
        assert float(law.sigma(t)) == 1.0
        assert float(law.log_snr(t)) == -math.inf
    assert float(law.time(np.float64(-math.inf))) == pytest.approx(1.0, abs=1e-15)


def test_discrete_passes_through_its_table() -> None:
    """α² at the integers is the table, at −1 clean data, and log α is linear in between."""
    table = (0.9, 0.5, 0.1)
    law = Discrete(table)
    np.testing.assert_allclose(law.alpha(np.arange(3.0)) ** 2, table, rtol=1e-14)
    assert float(law.alpha(-1.0)) == 1.0
    assert float(law.alpha(0.25)) ** 2 == pytest.approx(0.9**0.75 * 0.5**0.25, rel=1e-14)
    assert (law.t_zero, law.t_min, law.t_max) == (-1.0, 0.0, 2.0)


def test_discrete_takes_integer_time_steps() -> None:
    """diffusers hands whole numbers as int64: they mean what the same floats mean."""
    law = Discrete((0.9, 0.5, 0.1))
    torch.testing.assert_close(law.alpha(torch.arange(3)), law.alpha(torch.arange(3.0)))


def test_linear_betas_are_ddpms() -> None:
    """The table is the cumulative product of 1 − β, β from 1e-4 to 0.02 in 1000 entries."""
    betas = [1e-4 + i / 999 * (0.02 - 1e-4) for i in range(1000)]
    assert Discrete.linear_betas().alphas_cumprod[999] == pytest.approx(math.prod(1 - b for b in betas), rel=1e-12)


@pytest.mark.parametrize("law", [Flow(), Flow(shift=3.0), DDM()], ids=repr)
def test_pure_noise_is_exact(law) -> None:
    """At t = 1 α is exactly 0, σ exactly 1 and λ = −∞, as a float, an array and a tensor, without a warning."""
    for one in (1.0, np.array(1.0), torch.tensor(1.0, dtype=torch.float64)):
        assert float(law.alpha(one)) == 0.0
        assert float(law.sigma(one)) == 1.0
        assert float(law.log_snr(one)) == -math.inf
        assert float(law.time(law.log_snr(one))) == 1.0


@pytest.mark.parametrize("shift", [0.3, 1.0, 1.15, 3.0])
def test_flow_times_are_shifted_as_in_sd3(shift: float) -> None:
    """σ(t) = s·t/(1 + (s − 1)·t) (Esser et al. 2024, eq. 23), and its inverse is the same shift by 1/s."""
    law, back = Flow(shift=shift), Flow(shift=1 / shift)
    t = np.linspace(0, 1, 11)
    np.testing.assert_allclose(law.sigma(t), shift * t / (1 + (shift - 1) * t), rtol=1e-15)
    np.testing.assert_allclose(back.sigma(law.sigma(t)), t, atol=1e-15)
    np.testing.assert_allclose(law.alpha(t) + law.sigma(t), 1, rtol=1e-15)


def test_flow_keeps_its_digits_at_both_ends() -> None:
    """α near pure noise and σ near clean data have full relative precision, though σ or α rounds to 1."""
    law = Flow(shift=3.0)
    assert float(law.alpha(1 - 2.0**-40)) == pytest.approx(2.0**-40 / 3, rel=1e-11)
    assert float(law.sigma(2.0**-40)) == pytest.approx(3 * 2.0**-40, rel=1e-11)
    assert float(law.time(60.0)) == pytest.approx(math.exp(-60) / 3, rel=1e-13)


def test_ddm_is_linear_in_data_and_a_wiener_process_in_noise() -> None:
    """α = 1 − t and σ² = t; the inverse is the root of (1 − t)² = S·t, also where e^{2λ} overflows."""
    law = DDM()
    assert (float(law.alpha(0.36)), float(law.sigma(0.36))) == pytest.approx((0.64, 0.6))
    for lam in (-300.0, -7.0, -1e-9, 0.0, 1e-9, 2.0, 19.0, 300.0):
        t = float(law.time(np.float64(lam)))
        squared = math.exp(2 * lam)
        wanted = 1 / squared if lam == 300 else 2 / (2 + squared + math.sqrt(squared**2 + 4 * squared))
        assert t == pytest.approx(wanted, rel=1e-13)


def test_ve_keeps_the_data_and_counts_noise_as_time() -> None:
    """α is 1 in every kind of number, σ is t itself, λ is −log t (Karras et al. 2022)."""
    law = VE(t_min=0.01, t_max=50)
    for t in (2.0, np.array([2.0, 3.0]), torch.tensor([2.0, 3.0])):
        assert type(law.sigma(t)) is type(t)
        assert float((law.alpha(t) - 1).sum() if hasattr(t, "sum") else law.alpha(t) - 1) == 0.0
    assert float(law.log_snr(2.0)) == -math.log(2)
    assert law.prior_std == 50.0


def test_equal_parameters_are_written_alike() -> None:
    """20 and 20.0 make equal laws, so they make equal descriptions (and digests of schedules)."""
    whole, real = VPLinear(beta_max=20, t_min=0), VPLinear(beta_max=20.0, t_min=-0.0)
    assert whole == real
    assert repr(whole) == repr(real)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VPLinear(beta_min=0.0), "0 < beta_min < beta_max, got 0.0 and 20.0"),
        (lambda: VPLinear(beta_min=2, beta_max=1), "got 2.0 and 1.0"),
        (lambda: VPLinear(beta_max=math.nan), "beta_max is a finite number, got nan"),
        (lambda: VPLinear(beta_max="20"), "beta_max is a finite number, got '20'"),
        (lambda: VPLinear(beta_max=1e5), "lower beta_max or t_max"),
        (lambda: VPLinear(t_min=-0.1), "t_min < t_max, got -0.1 and 1.0"),
        (lambda: VPLinear(t_min=1.0), "got 1.0 and 1.0"),
        (lambda: Cosine(s=-0.1), "0 <= s < 1, got -0.1"),
        (lambda: Cosine(t_max=1.5), "t_max <= 1, where alpha is 0, got 1.5"),
        (lambda: VE(t_min=-1.0), "t_min < t_max, got -1.0 and 80.0"),
        (lambda: VE(t_max=math.inf), "ve t_max is a finite number, got inf"),
        (lambda: Flow(shift=0.0), "shift from 0.001 to 1000 .1 for none., got 0.0"),
        (lambda: Flow(shift=-3), "got -3.0"),
        (lambda: Flow(t_max=1.5), "t_max <= 1, where alpha is 0, got 1.5"),
        (lambda: DDM(t_max=1.5), "t_max <= 1, where alpha is 0, got 1.5"),
        (lambda: DDM(t_min=1.0), "got 1.0 and 1.0"),
        (lambda: Discrete(()), "at least two alphas_cumprod"),
        (lambda: Discrete((0.5,)), r"got 1 values: \(0.5,\)"),
        (lambda: Discrete((0.5, 0.9)), "strictly falling"),
        (lambda: Discrete((0.9, 0.9)), "strictly falling"),
        (lambda: Discrete((0.9, -0.1)), "inside"),
        (lambda: Discrete((1.0, 0.5)), "inside"),
        (lambda: Discrete((0.9, math.nan)), r"alphas_cumprod\[1\] is a finite number, got nan"),
        (lambda: Discrete(("0.9", "0.5")), r"alphas_cumprod\[0\] is a finite number"),
        (lambda: Discrete(3), "sequence of numbers"),
    ],
)
def test_a_bad_parameter_is_refused(make, message: str) -> None:
    """Each rule's message says what was given and what is wanted."""
    with pytest.raises(InvalidInput, match=message):
        make()


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ("vp-linear", InvalidInput, 'an object with a "kind"'),
        ({}, InvalidInput, "cosine, discrete, vp-linear"),
        ({"kind": "vp"}, UnknownName, "unknown process 'vp'; known: cosine, discrete, vp-linear"),
        ({"kind": ["vp-linear"]}, UnknownName, "unknown process"),
        ({"kind": "vp-linear", "gamma": 1}, InvalidInput, "'gamma'"),
        ({"kind": "discrete"}, InvalidInput, "alphas_cumprod"),
        ({"kind": "discrete", "alphas_cumprod": "0.9"}, InvalidInput, r"alphas_cumprod\[0\]"),
        ({"kind": "cosine", "s": None}, InvalidInput, "cosine s is a finite number"),
    ],
)
def test_a_bad_description_is_refused(data: object, error: type[InvalidInput], message: str) -> None:
    """from_dict names the kind, the key or the value that is wrong."""
    with pytest.raises(error, match=message):
        processes.from_dict(data)
