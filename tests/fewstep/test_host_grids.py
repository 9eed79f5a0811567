"""Grids of other programs: the genuine implementation's numbers where diffusers has one, else their formulas."""

import math

import numpy as np
import pytest
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu
from diffusers.pipelines.mochi.pipeline_mochi import linear_quadratic_schedule
from diffusers.schedulers import AysSchedules
from scipy import stats

from fewstep import grids
from fewstep.errors import InvalidInput, UnknownName
from fewstep.grids.levels import TABLES
from fewstep.grids.quantiles import quantile
from fewstep.models import scheduler_config
from fewstep.processes import VE, Cosine, Discrete, Flow, VPLinear

STABLE = scheduler_config.table(
    "EulerDiscreteScheduler", {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
)


@pytest.mark.parametrize(("a", "b"), [(0.6, 0.6), (0.5, 0.7), (2.0, 5.0), (1.0, 1.0)])
def test_beta_quantiles(a: float, b: float) -> None:
    """Those of SciPy, to the ends."""
    shares = np.linspace(0, 1, 201)
    np.testing.assert_allclose(quantile(shares, a, b), stats.beta.ppf(shares, a, b), rtol=1e-9, atol=1e-12)


def test_beta_is_what_diffusers_places() -> None:
    """Its N sigmas lie on the quantiles between its smallest and its largest; it adds zero."""
    scheduler = FlowMatchEulerDiscreteScheduler(use_beta_sigmas=True)
    scheduler.set_timesteps(9)
    ours = grids.beta(Flow(), 8, end=0.001)
    np.testing.assert_allclose(scheduler.sigmas[:-1], ours, rtol=1e-5)


@pytest.mark.parametrize(("name", "a", "b"), [("beta", 0.6, 0.6), ("beta57", 0.5, 0.7)])
def test_beta_is_what_comfyui_places(name: str, a: float, b: float) -> None:
    """Time steps T·ppf(1 − i/N), before they are rounded to whole ones."""
    want = 999 * stats.beta.ppf(1 - np.arange(12) / 12, a, b)
    np.testing.assert_allclose(grids.named(name)(STABLE, 12)[:-1], want, rtol=1e-9)


def test_exponential_sigmas_are_the_logsnr_grid_of_a_variance_exploding_process() -> None:
    """Even in log σ, as diffusers' use_exponential_sigmas places them."""
    scheduler = FlowMatchEulerDiscreteScheduler(use_exponential_sigmas=True)
    scheduler.set_timesteps(9)
    np.testing.assert_allclose(scheduler.sigmas[:-1], grids.logsnr(VE(t_min=0.001, t_max=1.0), 8), rtol=1e-5)


def test_karras_sigmas_are_the_edm_grid_of_a_variance_exploding_process() -> None:
    """Even in σ^{1/7}, as diffusers' use_karras_sigmas places them."""
    scheduler = FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True)
    scheduler.set_timesteps(9)
    np.testing.assert_allclose(scheduler.sigmas[:-1], grids.edm(VE(t_min=0.001, t_max=1.0), 8), rtol=1e-5)


@pytest.mark.parametrize("calls", [2, 3, 8, 25])
def test_linear_quadratic_is_mochis(calls: int) -> None:
    """Levels before the last, which is zero: on a shifted flow too, and on others as shares of the largest."""
    want = np.array([*linear_quadratic_schedule(calls, 0.025), 0.0])
    flow = Flow(shift=3.0)
    np.testing.assert_allclose(flow.sigma(np.array(grids.linear_quadratic(flow, calls))), want, atol=1e-12)
    times = np.array(grids.linear_quadratic(STABLE, calls, end=-1.0))
    np.testing.assert_allclose(STABLE.sampler_sigma(times), want * STABLE.sampler_sigma(999.0), rtol=1e-9, atol=1e-12)


def test_sgm_uniform_leaves_the_last_even_time_out() -> None:
    """linspace(T, 0, N + 1) without its end, then clean data."""
    assert grids.sgm_uniform(STABLE, 4) == (*np.linspace(999, 0, 5)[:-1].tolist(), -1.0)
    assert grids.sgm_uniform(Flow(), 4) == grids.time(Flow(), 4)


@pytest.mark.parametrize(
    ("name", "theirs", "law"),
    [
        ("ays-sd15", "StableDiffusionSigmas", STABLE),
        ("ays-sdxl", "StableDiffusionXLSigmas", STABLE),
        ("ays-svd", "StableDiffusionVideoSigmas", VE(t_max=700.0)),
    ],
)
def test_align_your_steps_are_the_published_tables(name: str, theirs: str, law: Discrete | VE) -> None:
    """Ten calls are the table; twenty have each of its levels, and their geometric means between."""
    want = np.array(AysSchedules[theirs][1:-1])
    levels = law.sampler_sigma(np.array(grids.named(name)(law, 10)))
    np.testing.assert_allclose(levels[1:-1], want, rtol=1e-9)
    fine = law.sampler_sigma(np.array(grids.named(name)(law, 20)))
    np.testing.assert_allclose(fine[2:-2:2], want, rtol=1e-9)
    np.testing.assert_allclose(fine[3:-3:2], np.sqrt(want[:-1] * want[1:]), rtol=1e-9)
    assert TABLES[name][0] == AysSchedules[theirs][0]


@pytest.mark.parametrize("mu", [0.5, 1.15, 2.05])
def test_a_shift_is_what_flow_pipelines_run(mu: float) -> None:
    """The dynamic shift of diffusers for the sigmas 1 … 1/N that Flux passes; a static one alike."""
    dynamic = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    dynamic.set_timesteps(sigmas=np.linspace(1.0, 1 / 8, 8).tolist(), mu=mu)
    static = FlowMatchEulerDiscreteScheduler(shift=math.exp(mu))
    static.set_timesteps(sigmas=np.linspace(1.0, 1 / 8, 8).tolist())
    for law in (Flow(), Flow(shift=3.0)):
        levels = law.sigma(np.array(grids.shifted(math.exp(mu))(law, 8)))
        np.testing.assert_allclose(levels, dynamic.sigmas, atol=1e-6)
        np.testing.assert_allclose(levels, static.sigmas, atol=1e-6)
    assert grids.named(f"shift-{math.exp(mu)!r}")(Flow(), 8) == grids.shifted(math.exp(mu))(Flow(), 8)


def test_the_own_grid_of_a_shifted_flow_is_its_shift() -> None:
    """``time`` on Flow(shift=s) is the grid of the shift s."""
    np.testing.assert_allclose(grids.time(Flow(shift=3.0), 6), grids.named("shift-3")(Flow(shift=3.0), 6), atol=1e-12)


def test_a_terminal_stretch_is_ltxs() -> None:
    """shift_terminal after a shift, for the sigmas that the pipeline passes."""
    theirs = FlowMatchEulerDiscreteScheduler(shift=3.0, shift_terminal=0.1)
    theirs.set_timesteps(sigmas=np.linspace(1.0, 1 / 8, 8).tolist())
    law = Flow(shift=3.0)
    np.testing.assert_allclose(law.sigma(np.array(grids.stretched(law, 8))), theirs.sigmas, atol=1e-6)


@pytest.mark.parametrize("tokens", [256, 1024, 4096, 8192])
def test_mu_is_the_pipelines(tokens: int) -> None:
    """Flux's by the size alone, Flux.2's by the number of calls as well."""
    assert grids.flow_mu(tokens) == pytest.approx(calculate_shift(tokens))
    for calls in (4, 10, 50):
        assert grids.empirical_mu(tokens, calls) == pytest.approx(compute_empirical_mu(tokens, calls))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (lambda: grids.named("shift-3")(VPLinear(), 4), "shift-3 grid is for flows, got vp-linear"),
        (lambda: grids.stretched(VE(), 4), "stretched grid is for flows"),
        (lambda: grids.stretched(Flow(), 4, terminal=1.0), "lies between 0 and 1"),
        (lambda: grids.stretched(Flow(t_min=0.2), 4), "before its end"),
        (lambda: grids.shifted(0.0), "a shift lies between"),
        (lambda: grids.ays_sd15(VE(), 4), "largest noise level is 14.615, got 80"),
        (lambda: grids.ays_sdxl(VE(t_min=1.0, t_max=14.6), 10), "before its end"),
        (lambda: grids.linear_quadratic(Cosine(t_max=1.0), 4), "finite noise level at its start"),
        (lambda: grids.sgm_uniform(VPLinear(), 4, end=0.9), "before its end"),
        (lambda: grids.beta(Flow(), 0), "1 <= nfe"),
    ],
)
def test_what_a_grid_cannot_be_is_said(place, message: str) -> None:
    """Another kind of process, another range, a bad parameter."""
    with pytest.raises(InvalidInput, match=message):
        place()


def test_a_shift_that_is_no_number_is_an_unknown_name() -> None:
    """The list of names says how it is written."""
    with pytest.raises(UnknownName, match="shift-S for a number S"):
        grids.named("shift-fast")
