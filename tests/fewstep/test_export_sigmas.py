"""Lines of sigmas: textbook samplers of k-diffusion's kind, given nothing else, make the schedule's own samples."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from fewstep import Schedule, compile, models, sample, solvers
from fewstep.errors import InvalidSchedule, UnknownName
from fewstep.export import line, samplers, sigmas
from fewstep.export.sigmas import on_times
from fewstep.processes import DDM, VE, Cosine, Discrete, Flow, Process, VPLinear

EXACT = {"rtol": 1e-9, "atol": 1e-9}
Model = Callable[[torch.Tensor, float], torch.Tensor]


def noise() -> torch.Tensor:
    return torch.randn(3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def euler(model: Model, x: torch.Tensor, levels: list[float]) -> torch.Tensor:
    """dx/dσ = (x − D)/σ by Euler's method (Karras et al. 2022)."""
    for s, t in pairwise(levels):
        x = x + (t - s) * (x - model(x, s)) / s
    return x


def heun(model: Model, x: torch.Tensor, levels: list[float]) -> torch.Tensor:
    """The same by Heun's method, the last step to σ = 0 by Euler's."""
    for s, t in pairwise(levels):
        slope = (x - model(x, s)) / s
        ahead = x + (t - s) * slope
        if t > 0:
            slope = (slope + (ahead - model(ahead, t)) / t) / 2
        x = x + (t - s) * slope
    return x


def dpmpp_2m(model: Model, x: torch.Tensor, levels: list[float]) -> torch.Tensor:
    """DPM-Solver++(2M) on x/α (Lu et al. 2022, algorithm 2), first order at both ends where σ is 0."""
    before = None
    for i, (s, t) in enumerate(pairwise(levels)):
        now = data = model(x, s)
        if before is not None and t > 0:
            ratio = np.log(levels[i - 1] / s) / np.log(s / t)
            data = now + (now - before) / (2 * ratio)
        x, before = t / s * x + (1 - t / s) * data, now
    return x


def lms(model: Model, x: torch.Tensor, levels: list[float]) -> torch.Tensor:
    """Adams–Bashforth of order 4 on the levels themselves, polynomials integrated exactly."""
    slopes: list[torch.Tensor] = []
    for i, s in enumerate(levels[:-1]):
        slopes = [(x - model(x, s)) / s, *slopes][:4]
        nodes = [levels[i - k] for k in range(len(slopes))]
        for k, slope in enumerate(slopes):
            others = [node for j, node in enumerate(nodes) if j != k]
            basis = np.poly1d(others, r=True) / np.prod([nodes[k] - other for other in others])
            x = x + float(basis.integ()(levels[i + 1]) - basis.integ()(s)) * slope
    return x


TEXTBOOK = {"euler": euler, "heun": heun, "dpmpp_2m": dpmpp_2m, "lms": lms}
SOLVERS = {"euler": "euler", "heun": "heun", "dpmpp_2m": "dpmpp-2m", "lms": "lms-4"}
FLOWING = {"euler": "flow-euler", "heun": "flow-heun"}


def run(name: str, schedule: Schedule, denoiser: models.Denoiser) -> torch.Tensor:
    """The textbook sampler on the exported sigmas; states are x/α, for flow x itself."""
    process, levels = schedule.process, list(sigmas(schedule, name))
    flow = process.kind == "flow"
    start, end = (1.0 if flow else float(process.alpha(t)) for t in (schedule.times[0], schedule.times[-1]))

    def model(x: torch.Tensor, level: float) -> torch.Tensor:
        t = level if flow else float(process.time(np.float64(-np.log(level))))
        if flow:
            t = float(process.time(np.log1p(-level) - np.log(level))) if level < 1 else 1.0
        scale = 1.0 if flow else float(process.alpha(t))
        return denoiser(scale * x, torch.full((len(x),), t, dtype=x.dtype))

    return end * TEXTBOOK[name](model, process.prior_std * noise() / start, levels)


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("law", [VPLinear(), Discrete.linear_betas(), VE()], ids=lambda law: law.kind)
@pytest.mark.parametrize("name", SOLVERS)
def test_a_sampler_with_these_sigmas_makes_the_schedules_samples(
    make_mixture, name: str, law: Process, clean: bool
) -> None:
    """Euler, Heun, DPM-Solver++(2M) and linear multistep, to σ > 0 and to σ = 0."""
    ends = [law.t_zero if clean else law.t_min]
    times = np.append(np.geomspace(law.t_max + 2, law.t_min + 20 * (law.kind == "discrete") + 2.01, 6) - 2, ends)
    nfe = {"heun": 12 - clean}.get(name, 6)
    schedule = solvers.named(SOLVERS[name]).schedule(
        law, nfe, lambda process, count: tuple(times.tolist()), lower_order_final=False
    )
    denoiser = make_mixture(law)
    torch.testing.assert_close(run(name, schedule, denoiser), sample(denoiser, schedule, noise()), **EXACT)
    assert samplers(schedule) == [name]


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("name", FLOWING)
def test_flow(make_mixture, name: str, shift: float) -> None:
    """Flow samplers take σ itself, from pure noise to clean data; shifted times are in it already."""
    law = Flow(shift)
    schedule = solvers.named(FLOWING[name]).schedule(law, 5, "time")
    denoiser = make_mixture(law)
    torch.testing.assert_close(run(name, schedule, denoiser), sample(denoiser, schedule, noise()), **EXACT)
    assert sigmas(schedule, name)[0] == 1.0
    assert sigmas(schedule, name)[-1] == 0.0
    assert name in samplers(schedule)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_the_hosts_second_order_on_a_flow(make_mixture, shift: float) -> None:
    """DPM-Solver++(2M) with differences of log σ, whatever the model: its schedule has weights of its own times."""
    law = Flow(shift)
    schedule = on_times("dpmpp_2m", law, (1.0, 0.83, 0.61, 0.4, 0.17, 0.0))
    denoiser = make_mixture(law)
    torch.testing.assert_close(run("dpmpp_2m", schedule, denoiser), sample(denoiser, schedule, noise()), **EXACT)
    assert samplers(schedule) == ["dpmpp_2m"]


def test_a_line_is_float32_without_exponents() -> None:
    """ComfyUI's node reads plain numbers: as many digits as float32 has, small ones written out."""
    schedule = Schedule(VE(), (80.0, 1.0 / 3.0, 2e-5), (solvers.named("euler").ladder[0],) * 2)
    assert line(schedule, "euler") == "80.0, 0.33333334, 0.00002"
    assert [np.float32(word) for word in line(schedule, "euler").split(", ")] == [
        np.float32(s) for s in sigmas(schedule, "euler")
    ]


LAW = VPLinear()
SECOND = solvers.named("dpmpp-2m").schedule(LAW, 6, lower_order_final=False)


def test_another_method_is_refused_with_the_first_step_that_differs() -> None:
    """The message says which step is what, and what the sampler would take."""
    with pytest.raises(InvalidSchedule, match=r"steps\[1\] is Step\(order=2, scale='bh2'\), where .* takes Step\(\)"):
        sigmas(SECOND, "euler")
    lowered = solvers.named("dpmpp-2m").schedule(LAW, 6)
    with pytest.raises(InvalidSchedule, match=r"steps\[5\] is Step\(\), where the sampler takes Step\(order=2"):
        sigmas(lowered, "dpmpp_2m")
    assert samplers(lowered) == []


def test_fitted_rows_are_refused_unless_they_are_the_samplers_own() -> None:
    """Numbers decide: the compiled rows pass as rows, others do not."""
    tableau = compile(SECOND)
    assert samplers(replace(SECOND, fitted=tableau)) == ["dpmpp_2m"]
    with pytest.raises(InvalidSchedule, match="rows are fitted"):
        sigmas(replace(SECOND, fitted=replace(tableau, start=tableau.start * 1.01)), "dpmpp_2m")


def test_network_times_of_their_own_are_refused() -> None:
    """A sigma says one level for state and network."""
    told = compile(SECOND).network_times + np.array([0.0, 0.01, 0, 0, 0, 0])
    with pytest.raises(InvalidSchedule, match=r"call 1 tells the network .* at a state of time"):
        sigmas(replace(SECOND, fitted=replace(compile(SECOND), network_times=told)), "dpmpp_2m")


def test_more_reasons_not_to() -> None:
    """Fresh noise, an infinite first sigma, methods that are none of ours, other numbers of calls, unknown names."""
    with pytest.raises(InvalidSchedule, match="adds fresh noise"):
        sigmas(solvers.named("ddpm").schedule(LAW, 4), "euler")
    for law in (Cosine(t_max=1.0), DDM(t_max=1.0)):
        with pytest.raises(InvalidSchedule, match="first sigma would be infinite"):
            sigmas(solvers.named("ddim").schedule(law, 4, "time"), "euler")
    flow = solvers.named("flow-euler").schedule(Flow(), 4)
    with pytest.raises(InvalidSchedule, match="no solver of this library"):
        sigmas(flow, "lms")
    with pytest.raises(InvalidSchedule, match="it would make 12 calls over the schedule's 7 noise levels, not 6"):
        sigmas(SECOND, "heun")
    with pytest.raises(UnknownName, match="unknown sampler 'ddim'; known: euler, heun, dpmpp_2m, lms"):
        sigmas(SECOND, "ddim")
