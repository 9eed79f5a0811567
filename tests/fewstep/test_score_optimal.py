"""Score-optimal grids: closed forms on the Gaussian, a mixture's modes, every process, and the coarse-grid trap."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import ndtr

import fewstep
from fewstep import grids, solvers
from fewstep.errors import InvalidInput, InvalidModel
from fewstep.grids import score_optimal
from fewstep.grids.arc_length import ArcLength
from fewstep.grids.score_cost import corrector_cost, predictor_calls, predictor_cost
from fewstep.models import Denoiser, Gaussian, GaussianMixture, from_callable
from fewstep.processes import DDM, VE, Cosine, Discrete, Flow, Process, VPLinear

SPREAD, WIDTH = 0.5, 16  # of the Gaussian: standard deviation and dimension


def gaussian(process: Process, spread: float = SPREAD, d: int = WIDTH) -> Gaussian:
    """N(0, spread² I) in d dimensions."""
    return Gaussian(process, torch.zeros(d), spread**2 * torch.eye(d))


def noise(count: int, d: int = WIDTH, seed: int = 0) -> torch.Tensor:
    """Standard normal, float64."""
    return torch.randn(count, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def primitive(sigma: float) -> float:
    """Λ(σ) of the Gaussian up to a constant: ∫ 2σ²√d / (c² + σ²)^{3/2} dσ."""
    value: float = 2 * WIDTH**0.5 * (np.arcsinh(sigma / SPREAD) - sigma / np.hypot(sigma, SPREAD))
    return value


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("process", [VE(), VPLinear(), Flow(), DDM(), Cosine()], ids=lambda p: p.kind)
def test_the_gaussians_arc_length_has_its_closed_form(process: Process, given: bool) -> None:
    """Λ within 1 % and the knots of ten steps within 2 % in σ/α, from data or from the model's own flow."""
    data = SPREAD * noise(512, seed=1) if given else None
    arc = score_optimal.measure(gaussian(process), noise(512), data)
    top, bottom = np.exp(-arc.log_snrs[[0, -1]])
    whole = primitive(top) - primitive(bottom)
    assert arc.total == pytest.approx(whole, rel=0.01)
    knots = np.exp(-process.log_snr(np.array(arc.times(10, blend=1.0)[1:-1])))
    exact = [
        brentq(lambda s, i=i: primitive(top) - primitive(s) - i / 10 * whole, bottom, top, xtol=1e-12)
        for i in range(1, 10)
    ]
    np.testing.assert_allclose(knots, exact, rtol=0.02)


def test_the_predictor_cost_is_that_of_the_landed_gaussian() -> None:
    """A DDIM step maps N(0, v) to N(0, f² v): its score distance from the right Gaussian, within 1 % at short steps."""
    denoiser, start, end = gaussian(VE(), d=3), 1.0, 0.999
    x = torch.tensor([[1.0, -2.0, 0.5]]).double()
    v, wanted = SPREAD**2 + start**2, SPREAD**2 + end**2
    factor = 1 + (end - start) * start / v
    exact = end**2 * float((factor * x).square().sum()) * (1 / wanted - 1 / (factor**2 * v)) ** 2
    assert float(predictor_cost(denoiser, x, start, end)) == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("sigma", [5.0, 1.0])
def test_corrector_costs_fall_with_the_square_and_predictor_costs_with_the_fourth_power(sigma: float) -> None:
    """Halving a step in log σ divides them by about 4 and 16: a length takes their square root and fourth root."""
    x = np.hypot(sigma, SPREAD) * noise(64)
    denoiser, steps = gaussian(VE()), (0.04, 0.02)
    output = denoiser(x, x.new_full((len(x),), sigma))
    corrector = [float(corrector_cost(denoiser, x, output, sigma, sigma * np.exp(-h)).mean()) for h in steps]
    predictor = [float(predictor_cost(denoiser, x, sigma, sigma * np.exp(-h)).mean()) for h in steps]
    assert corrector[0] / corrector[1] == pytest.approx(4, rel=0.1)
    assert predictor[0] / predictor[1] == pytest.approx(16, rel=0.1)


def test_random_directions_estimate_the_predictor_cost() -> None:
    """In more dimensions than are summed exactly, the estimate is within its noise of the same model in fewer."""
    wide, narrow = gaussian(VE(), d=32), gaussian(VE(), d=8)
    x = noise(2048, 32) * np.hypot(1.0, SPREAD)
    each = predictor_cost(wide, x, 1.0, 0.9) / 32
    exact = predictor_cost(narrow, x[:, :8], 1.0, 0.9) / 8
    error = float(each.std()) / len(x) ** 0.5 + float(exact.std()) / len(x) ** 0.5
    assert abs(float(each.mean()) - float(exact.mean())) < 4 * error


class Bimodal:
    """Two narrow modes in one dimension, whose flow is the map between two distribution functions."""

    def __init__(self) -> None:
        self.process, self.width = VE(), 0.05
        means, covariances = torch.tensor([[-1.0], [1.0]]), self.width**2 * torch.eye(1).expand(2, 1, 1)
        self.denoiser = GaussianMixture(self.process, torch.ones(2), means, covariances)
        self.noise = noise(512, 1, seed=3)
        self.arc = score_optimal.measure(self.denoiser, noise(256, 1, seed=4))
        target = self.below(80 * self.noise.numpy(), 80.0)
        low, high = -2 * np.ones_like(target), 2 * np.ones_like(target)
        for _ in range(60):
            middle = (low + high) / 2
            less = self.below(middle, self.process.t_min) < target
            low, high = np.where(less, middle, low), np.where(less, high, middle)
        self.ends = torch.tensor(low)

    def below(self, x: np.ndarray, sigma: float) -> np.ndarray:
        """The distribution function of the states at noise σ."""
        spread = np.hypot(self.width, sigma)
        share: np.ndarray = 0.5 * (ndtr((x - 1) / spread) + ndtr((x + 1) / spread))
        return share

    def error(self, solver: str, nfe: int, grid: str | grids.Grid) -> float:
        """Root mean square endpoint error against the exact flow; the last order is lowered."""
        schedule = solvers.named(solver).schedule(self.process, nfe, grid, lower_order_final=True)
        return float((fewstep.sample(self.denoiser, schedule, self.noise) - self.ends).square().mean().sqrt())


@pytest.fixture(scope="module")
def bimodal() -> Bimodal:
    """The mixture with its measured arc length."""
    return Bimodal()


def test_first_order_steps_are_better_on_the_score_optimal_grid(bimodal: Bimodal) -> None:
    """DDIM with ten calls: at most 0.7 of the error of the log-SNR grid and 0.6 of that of the ρ = 7 grid."""
    optimal = bimodal.error("ddim", 10, bimodal.arc.grid(1.0))
    assert optimal <= 0.7 * bimodal.error("ddim", 10, "logsnr")
    assert optimal <= 0.6 * bimodal.error("ddim", 10, "edm")


@pytest.mark.parametrize("nfe", [6, 10, 20])
def test_second_order_steps_are_no_worse_on_the_blend(bimodal: Bimodal, nfe: int) -> None:
    """DPM-Solver++ 2M, where the pure grid loses at 20 calls: the blend beats even log-SNR at every number."""
    assert bimodal.error("dpmpp-2m", nfe, bimodal.arc.grid()) <= bimodal.error("dpmpp-2m", nfe, "logsnr")


def test_the_predictor_grid_serves_its_own_predictor(bimodal: Bimodal) -> None:
    """DDIM is what the predictor cost assumes: no worse there than on the grid of the corrector cost."""
    arc = score_optimal.measure(bimodal.denoiser, noise(128, 1, seed=4), kind="predictor")
    assert bimodal.error("ddim", 10, arc.grid(1.0)) <= bimodal.error("ddim", 10, bimodal.arc.grid(1.0))


def test_grids_of_costs_on_themselves_collapse_and_are_refused(bimodal: Bimodal) -> None:
    """Costs of a few long steps, equalised again and again, ruin the samples: such costs make no arc length."""
    process, denoiser, state = bimodal.process, bimodal.denoiser, noise(512, 1, seed=5)
    data = bimodal.ends.roll(1, 0)
    times = np.array(grids.logsnr(process, 10))
    for _ in range(40):
        costs = []
        for k, (start, end) in enumerate(pairwise(times.tolist())):
            x = data + start * state.roll(k, 0)
            output = denoiser(x, x.new_full((len(x),), start))
            costs.append(float(corrector_cost(denoiser, x, output, start, end).mean()) ** 0.5)
        lam, lengths = -np.log(times), np.concatenate([[0.0], np.cumsum(costs)])
        with pytest.raises(InvalidInput, match="collapse"):
            ArcLength(process, "corrector", lam, lengths)
        inner = np.interp(np.linspace(0, lengths[-1], 11)[1:-1], lengths, lam)
        times = np.exp(-np.concatenate([lam[:1], inner, lam[-1:]]))
    collapsed = bimodal.error("ddim", 10, lambda *_: tuple(times.tolist()))
    assert collapsed > 5 * bimodal.error("ddim", 10, bimodal.arc.grid(1.0))


@pytest.mark.parametrize("ratio", [1.0, 1.21, 2.0, float("nan")])
def test_coarse_probes_are_refused(ratio: float) -> None:
    """σ/α may fall by a fifth at most between two levels."""
    with pytest.raises(InvalidInput, match="ratio"):
        score_optimal.measure(gaussian(VE()), noise(4), ratio=ratio)


@pytest.mark.parametrize(
    "process",
    [VE(), VPLinear(), Flow(shift=3.0), DDM(), Cosine(t_max=1.0), Discrete.linear_betas()],
    ids=lambda p: p.kind,
)
@pytest.mark.parametrize("nfe", [1, 2, 7, 50])
@pytest.mark.parametrize("blend", [0.0, 0.7, 1.0])
def test_every_process_has_score_optimal_times(process: Process, nfe: int, blend: float) -> None:
    """Exact ends, strict fall, and schedules that compile, pure noise and clean data included."""
    arc = score_optimal.measure(gaussian(process, d=2), noise(16, 2), ratio=1.2)
    times = arc.times(nfe, blend)
    assert (len(times), times[0], times[-1]) == (nfe + 1, process.t_max, process.t_min)
    assert np.all(np.diff(times) < 0)
    assert arc.times(nfe, blend, end=process.t_zero)[-1] == process.t_zero
    assert solvers.named("dpmpp-2m").schedule(process, nfe, arc.grid(blend)).nfe == nfe


def test_no_blend_is_even_in_log_snr() -> None:
    """``blend`` 0 is the log-SNR grid."""
    process = VPLinear()
    arc = score_optimal.measure(gaussian(process), noise(8))
    np.testing.assert_allclose(arc.times(8, blend=0.0), grids.logsnr(process, 8), rtol=1e-9)


@pytest.mark.parametrize("make", [VPLinear, DDM])
@pytest.mark.parametrize("kind", ["corrector", "predictor"])
@pytest.mark.parametrize("given", [True, False])
def test_calls_are_counted(make: Callable[[], Process], kind: str, given: bool) -> None:
    """The calls reported are those the network saw; derivatives are counted beside them."""
    process, seen = make(), 0
    exact = gaussian(process, d=2)

    def counted(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        nonlocal seen
        seen += len(x)
        return exact(x, t)

    data = 0.5 * noise(8, 2, seed=1) if given else None
    denoiser = from_callable(counted, process, prediction="data")
    arc = score_optimal.measure(denoiser, noise(8, 2), data, kind=kind, ratio=1.2)
    gaps = len(arc.log_snrs) - 1
    derivatives = 8 * gaps * (predictor_calls(2) - 2) if kind == "predictor" else 0
    assert arc.calls == seen + derivatives
    assert (arc.samples, arc.source) == (8, "data" if given else "flow")


@pytest.mark.parametrize("constant", [0.0, float("nan")])
def test_networks_that_say_nothing_are_refused(constant: float) -> None:
    """Outputs that are not finite have no arc length; nor have states of which every one is the noise itself."""
    broken: Denoiser = from_callable(lambda x, t: x * constant + (x if constant == 0 else 0), VE(), prediction="data")
    with pytest.raises(InvalidModel, match="finite or do not change"):
        score_optimal.measure(broken, noise(4))


def test_denoisers_without_derivatives_have_no_predictor_cost() -> None:
    """A network that cannot be differentiated is told to take the corrector cost."""
    opaque: Denoiser = from_callable(lambda x, t: 0.5 * x.detach(), VE(), prediction="data")
    with pytest.raises(InvalidModel, match="corrector cost"):
        score_optimal.measure(opaque, noise(4), kind="predictor")
