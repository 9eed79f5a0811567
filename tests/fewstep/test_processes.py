"""Noise laws: definitions, inverses, exact ends, and agreement of the three number kinds."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewstep import processes
from fewstep.processes import DDM, VE, Cosine, Discrete, Flow, Process, VPLinear

LAWS = {
    "vp-linear": VPLinear(),
    "vp-steep": VPLinear(beta_min=0.01, beta_max=40.0, t_min=0.0),
    "cosine": Cosine(),
    "cosine-to-the-ends": Cosine(t_min=0.0, t_max=1.0),
    "cosine-without-offset": Cosine(s=0.0),
    "discrete": Discrete.linear_betas(),
    "discrete-short": Discrete((0.99, 0.7, 0.2, 0.01)),
    "ve": VE(),
    "ve-short": VE(t_min=0.0, t_max=3.0),
    "flow": Flow(),
    "flow-shifted": Flow(shift=3.0, t_min=1e-3, t_max=0.999),
    "flow-shifted-back": Flow(shift=0.2),
    "ddm": DDM(),
}
VARIANCE = {  # what α² + σ² is at a time
    "ve": lambda t: 1 + t * t,
    "ddm": lambda t: (1 - t) ** 2 + t,
}
pytestmark = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
inner = st.floats(0.0, 1.0).map(lambda share: 0.001 + 0.998 * share)


def at(law: Process, share: float) -> float:
    """The time at a share of the way from t_zero to t_max."""
    return law.t_zero + share * (law.t_max - law.t_zero)


@given(share=inner)
def test_scales_obey_their_law(law: Process, share: float) -> None:
    """α² + σ² is 1 where variance is preserved, α + σ is 1 in flow matching; λ = log(α/σ) everywhere."""
    t = at(law, share)
    alpha, sigma = float(law.alpha(t)), float(law.sigma(t))
    if law.kind == "flow":
        assert alpha + sigma == pytest.approx(1, abs=1e-15)
    else:
        assert alpha**2 + sigma**2 == pytest.approx(VARIANCE.get(law.kind, lambda t: 1)(t), rel=1e-15, abs=1e-15)
    assert float(law.log_snr(t)) == pytest.approx(math.log(alpha / sigma), rel=1e-12, abs=1e-12)


@given(share=inner)
def test_time_inverts_log_snr(law: Process, share: float) -> None:
    """time(log_snr(t)) = t, as a float, an array and a tensor."""
    t = at(law, share)
    width = law.t_max - law.t_zero
    assert float(law.time(law.log_snr(t))) == pytest.approx(t, abs=1e-12 * width)
    assert law.time(law.log_snr(np.array([t])))[0] == pytest.approx(t, abs=1e-12 * width)
    tensor = torch.tensor([t], dtype=torch.float64)
    assert law.time(law.log_snr(tensor)).item() == pytest.approx(t, abs=1e-12 * width)


@given(lam=st.floats(-4.0, 6.0))
def test_log_snr_inverts_time(law: Process, lam: float) -> None:
    """log_snr(time(λ)) = λ inside the law's range."""
    low = max(float(law.log_snr(at(law, 0.999))), -4.0)
    lam = max(lam, low)
    assert float(law.log_snr(law.time(lam))) == pytest.approx(lam, abs=1e-9)


def test_log_snr_falls_with_time(law: Process) -> None:
    """λ falls strictly over the whole range."""
    lam = law.log_snr(np.linspace(at(law, 1e-6), at(law, 1 - 1e-9), 2001))
    assert np.all(np.diff(lam) < 0)


def test_arrays_floats_and_tensors_agree(law: Process) -> None:
    """One formula: NumPy in float64, torch in float64 and Python floats to rounding, torch in float32 to its own."""
    times = np.linspace(at(law, 0.01), at(law, 0.99), 101)
    for verb in (law.alpha, law.sigma, law.log_snr):
        array = verb(times)
        assert isinstance(array, np.ndarray)
        assert array.dtype == np.float64
        np.testing.assert_allclose(array, [float(verb(float(t))) for t in times], rtol=1e-14, atol=1e-14)
        double = verb(torch.from_numpy(times))
        assert double.dtype == torch.float64
        np.testing.assert_allclose(array, double.numpy(), rtol=1e-12, atol=1e-12)
        single = verb(torch.from_numpy(times).float())
        assert single.dtype == torch.float32
        np.testing.assert_allclose(
            array, single.numpy(), rtol=2e-3, atol=2e-4
        )  # t in float32 moves λ by up to λ'(t)·ε·t


def test_clean_data_is_exact(law: Process) -> None:
    """At t_zero α = 1, σ = 0 and λ = +∞ exactly, without a warning, and time(+∞) leads back."""
    assert float(law.alpha(law.t_zero)) == 1.0
    assert float(law.sigma(law.t_zero)) == 0.0
    assert float(law.log_snr(law.t_zero)) == math.inf
    assert float(law.time(np.float64(math.inf))) == pytest.approx(law.t_zero, abs=1e-15)
    tensor = torch.tensor([law.t_zero], dtype=torch.float64)
    assert law.sigma(tensor).item() == 0.0
    assert law.time(torch.tensor([math.inf], dtype=torch.float64)).item() == pytest.approx(law.t_zero, abs=1e-15)


def test_time_has_a_gradient(law: Process) -> None:
    """The slope of the inverse in torch is one over the slope of λ, so that times can be polished by gradient."""
    t = torch.tensor([at(law, 0.3713), at(law, 0.6131)], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(law.log_snr(t).sum(), t)
    lam = law.log_snr(t).detach().requires_grad_()
    (inverse,) = torch.autograd.grad(law.time(lam).sum(), lam)
    torch.testing.assert_close(slope * inverse, torch.ones(2, dtype=torch.float64), rtol=1e-9, atol=1e-9)
    assert (slope < 0).all()


def test_a_law_survives_json(law: Process) -> None:
    """from_dict(to_dict(law)) through JSON text is equal and hashes alike."""
    back = processes.from_dict(json.loads(json.dumps(processes.to_dict(law), allow_nan=False)))
    assert back == law
    assert hash(back) == hash(law)
    assert type(back) is type(law)


def test_a_law_is_a_process(law: Process) -> None:
    """Every kind satisfies the protocol; sampling starts from unit noise where α fades, else from σ_max."""
    assert isinstance(law, Process)
    assert law.prior_std == (law.t_max if law.kind == "ve" else 1.0)
    assert all(law.t_zero <= knot <= law.t_max for knot in law.knots)
    assert law.kind in processes.names()
    assert law.t_zero <= law.t_min < law.t_max
