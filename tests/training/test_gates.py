"""Gates: what debiased training and decoupled diffusion must show, at a small budget; `benchmarks` has the whole."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import debias, decoupled
from fewstep.processes import DDM


@pytest.fixture(scope="module")
def weights() -> dict[str, dict]:
    """The same small network and seed, trained under either weight for 2000 iterations, measured."""
    settings = replace(debias.BUDGET, iterations=2000, rate=2e-3)
    return {name: debias.trained(name, settings) for name in ("constant", "debiased")}


def test_gate_the_debiased_weight_lowers_early_errors(weights: dict[str, dict]) -> None:
    """The data estimate's squared error at t >= 900 is at least three times lower than under the constant weight."""
    assert debias.gates(**weights)["error_times_lower"] >= 3


def test_gate_the_debiased_weight_keeps_the_datas_variance(weights: dict[str, dict]) -> None:
    """|pixel-variance ratio − 1| of samples of 10 and 20 unclamped DDIM steps is at most a fifth of the constant's."""
    assert debias.gates(**weights)["excess_variance_left"] <= 1 / 5


@pytest.mark.parametrize("calls", decoupled.CALLS)
def test_gate_a_multistep_solver_beats_decoupled_diffusions_own(calls: int) -> None:
    """On an exact model of three modes, exponential 2M on uniform t has at most 0.75 of its sampler's W2."""
    rows = {row["sampler"]: row for row in decoupled.compare("wide", 20_000, calls)}
    assert rows[decoupled.BEST]["ratio"] <= 0.75


def test_gate_the_law_of_decoupled_diffusion_is_inverted_exactly() -> None:
    """λ(t) and back, t from 1e-6 to 1 − 1e-6, to 1e-9; the inverse is t = 2 / (2 + S + √(S² + 4S)), S = e^{2λ}."""
    t = np.concatenate([np.geomspace(1e-6, 0.5, 500), 1 - np.geomspace(1e-6, 0.5, 500)])
    lam = DDM().log_snr(t)
    assert np.abs(DDM().time(lam) - t).max() < 1e-9
    snr = np.exp(2 * lam)
    np.testing.assert_allclose(2 / (2 + snr + np.sqrt(snr**2 + 4 * snr)), t, rtol=0, atol=1e-9)
