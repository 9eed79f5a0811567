"""Every named solver against diffusers' own scheduler class, wherever there is one, on each of its noise laws.

Both sides run in float32 with the same smooth network, from the same noise, with the same fresh noise; tolerances are
the classes' own (`tests.fewstep.diffusers_cases`). The methods themselves agree to 1e-9 where diffusers is made to
compute in float64 (`test_diffusers_parity`), and to 1e-10 with the papers (`test_textbook_parity`).
"""

import inspect
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DEISMultistepScheduler, DPMSolverMultistepScheduler, PNDMScheduler

from fewstep import Schedule, Step, compile, models, sample, solvers
from fewstep.diffusers.importer import from_diffusers
from fewstep.processes import VE, Discrete, Flow, Process, VPLinear
from tests.fewstep.diffusers_cases import CASES, WITHOUT, Case, scaled_inside

pytestmark = [  # diffusers' own, about itself
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept context:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*algorithm_type.*dpmsolver.*:FutureWarning"),
]
STEPS = (3, 5, 10, 20)
PREDICTIONS = {"epsilon": "noise", "sample": "data", "v_prediction": "velocity", "flow_prediction": "flow"}
RUNS = [
    pytest.param(name, case, law, id=f"{name}-{case.make.__name__}-{law}")
    for name, cases in CASES.items()
    for case in cases
    for law in case.laws
]


def noise() -> torch.Tensor:
    """Four start noises (4, 3), float32."""
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(2))


def network(x: torch.Tensor, t: Any) -> torch.Tensor:
    return 0.5 * torch.sin(2 * x + t)


def set_up(case: Case, law: str, steps: int) -> tuple[Any, Process, tuple[float, ...]]:
    """The scheduler, its noise law, and the outer times that it steps over in the law's units."""
    scheduler = case.scheduler(law, steps)
    if law == "sigmas":  # IPNDM: the law is what it is told
        process, times = VPLinear(), tuple(np.linspace(1.0, 0.01, steps + 1).tolist())
        scheduler.register_to_config(trained_betas=[float(process.sigma(t)) for t in times])
        scheduler.set_timesteps(steps)
        return scheduler, process, times
    if law in ("flow", "flow-sigmas", "edm"):
        times = tuple(dict.fromkeys(scheduler.sigmas.double().tolist()))
        return scheduler, Flow() if law != "edm" else VE(t_min=0.0, t_max=times[0]), times
    process = Discrete(scheduler.alphas_cumprod.double().tolist())
    told = [float(t) for t in dict.fromkeys(scheduler.timesteps.tolist())]
    if hasattr(scheduler, "prk_timesteps"):
        told = [float(t) for t in scheduler._timesteps[::-1]]
    clean = float(scheduler.sigmas[-1]) == 0 if hasattr(scheduler, "sigmas") else not hasattr(scheduler, "ets")
    return scheduler, process, (*told, -1.0 if clean else 0.0)


def ours(case: Case, name: str, process: Process, times: tuple[float, ...], calls: int) -> Schedule:
    """The named solver at those times; a stride's inner times are the scheduler's own where it lists them all."""
    place = lambda law, count: times  # noqa: E731
    schedule = solvers.named(name).schedule(process, calls, place, lower_order_final=case.lower)
    schedule = replace(schedule, steps=tuple(case.encode(step) for step in schedule.steps))
    return replace(schedule, times=times) if len(times) == calls + 1 else schedule


def read(case: Case, law: str, scheduler: Any, process: Process, clock: float) -> models.Denoiser:
    """The same network as a denoiser, at the scheduler's prediction type; EDM's is preconditioned by its levels."""
    if law == "edm":

        def denoise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            sigma, data = t[:, None], scheduler.config.sigma_data
            total = (sigma**2 + data**2).sqrt()
            return data**2 / total**2 * x + sigma * data / total * network(x / total, 0.25 * sigma.log())

        return models.from_callable(denoise, process, "data")
    prediction = PREDICTIONS[
        scheduler.config.get("prediction_type", "v_prediction" if law == "sigmas" else "flow_prediction")
    ]
    scale = 1000.0 if law == "flow" else 1.0
    return models.from_callable(lambda x, t: network(x, clock * scale * t[:, None]), process, prediction)


def theirs(case: Case, scheduler: Any, x: torch.Tensor, clock: float) -> tuple[torch.Tensor, float]:
    """The end of diffusers' own loop, and the largest number on the way."""
    largest = 1.0
    known = inspect.signature(scheduler.step).parameters
    draws = {"generator": torch.Generator().manual_seed(4)} if "generator" in known else {}
    for t in scheduler.timesteps:
        x_in = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        largest = max(largest, float(x_in.abs().max()))
        x = scheduler.step(network(x_in, clock * t), t, x, return_dict=False, **draws, **case.step)[0]
        if case.cut:
            del scheduler.ets[: max(len(scheduler.ets) - (case.cut - 1), 0)]
    return x, largest


@pytest.mark.parametrize(("name", "case", "law"), RUNS)
def test_a_named_solver_is_diffusers_own(name: str, case: Case, law: str) -> None:
    """3, 5, 10 and 20 steps end where the class ends, in its own float32."""
    for steps in STEPS:
        if name == "f-pndm" and steps < 4:
            continue  # the class cannot make its four first time steps of three
        scheduler, process, times = set_up(case, law, steps)
        clock = {"linear": 0.002, "cosine": 0.002, "flow": 0.002, "edm": 1.0}.get(law, 0.0)
        schedule = ours(case, name, process, times, case.calls(steps))
        start, end = (float(process.alpha(schedule.times[i])) if case.scaled else 1.0 for i in (0, -1))
        wanted, largest = theirs(case, scheduler, noise() * process.prior_std / start, clock)
        generator = torch.Generator().manual_seed(4)
        drawn = [torch.randn(noise().shape, generator=generator) for _ in range(schedule.nfe)]
        used = [drawn[int(np.flatnonzero(column)[0])] for column in compile(schedule).noise.T]
        denoiser = read(case, law, scheduler, process, clock)
        got = sample(denoiser, schedule, noise(), fresh=torch.stack(used) if used else None)
        error = float((got - end * wanted).abs().max())
        assert error <= case.tolerance * largest, (steps, error, largest)


@pytest.mark.parametrize("name", ["dpm-3s", "dpmpp-3s"])
def test_the_second_stage_of_a_third_order_stride_is_a_taylor_step(name: str) -> None:
    """Lu et al. 2022, algorithm 2, line 7 (ours is that loop: `test_textbook_parity`): diffusers scales it by bh2."""
    published = solvers.named(name).schedule(Discrete.linear_betas(), 10, "logsnr")
    theirs = replace(published, steps=tuple(scaled_inside(step) for step in published.steps))
    assert not compile(theirs).close_to(compile(published), 1e-3)


def test_the_third_order_of_the_reverse_sde_has_its_sign() -> None:
    """((1 − e^{−2h} − 2h)/(2h)² + ½)·D_2 vanishes with h; diffusers' −½ leaves less than second order has.

    The whole Taylor term is exact for quadratic outputs; ours, as published, takes half of it, and lies nearer than
    either.
    """
    scheduler = DPMSolverMultistepScheduler(
        algorithm_type="sde-dpmsolver++", solver_order=3, final_sigmas_type="sigma_min", lower_order_final=False
    )
    theirs = from_diffusers(scheduler, timesteps=[60, 40, 20])
    first, second = Step(eta=1.0), Step(order=2, scale="bh2", eta=1.0)

    def last_row(step: Step) -> np.ndarray:
        return compile(replace(theirs, steps=(first, second, step), fitted=None)).outputs[-1]

    exact = last_row(Step(order=3, eta=1.0))
    ours, lower = last_row(Step(order=3, second=0.5, eta=1.0)), last_row(Step(order=2, eta=1.0))
    distances = [float(np.abs(row - exact).max()) for row in (ours, lower, compile(theirs).outputs[-1])]
    assert distances == sorted(distances)


@pytest.mark.parametrize("k", [2, 3])
def test_deis_is_a_polynomial_in_time(k: int) -> None:
    """Its paper's eq. 15 interpolates in t; diffusers' class of that name in log σ/α, which are plain Taylor steps."""
    scheduler = DEISMultistepScheduler(solver_order=k)
    theirs = from_diffusers(scheduler, 8)
    assert [(step.prediction, step.variable, step.scale) for step in theirs.steps] == [("noise", "lambda", "none")] * 8
    place = lambda law, count: theirs.times  # noqa: E731
    ours = solvers.named(f"deis-{k}").schedule(theirs.process, 8, place)
    assert [step.order for step in ours.steps] == [step.order for step in theirs.steps]
    assert not compile(ours).close_to(compile(theirs), 1e-3)


def test_pndm_remembers_four_outputs_where_s_pndm_has_two() -> None:
    """diffusers' PNDM without its Runge–Kutta start begins as S-PNDM (Liu et al. 2022, eq. 21) and goes on as iPNDM."""
    theirs = from_diffusers(PNDMScheduler(skip_prk_steps=True, steps_offset=1), 8)
    assert [step.order for step in theirs.steps][1:] == [2, 2, 3, 4, 4, 4, 4, 4]
    assert max(step.order for step in solvers.named("s-pndm").schedule(theirs.process, 9, "time").steps) == 2


def test_every_solver_has_a_class_or_a_reason() -> None:
    """A new solver fails here until a diffusers scheduler stands beside it, or the reason why none can."""
    assert CASES.keys() | WITHOUT.keys() == set(solvers.names())
    assert not CASES.keys() & WITHOUT.keys()
    assert all(CASES.values())
    assert all(WITHOUT.values())
