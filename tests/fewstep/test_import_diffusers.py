"""Schedules read out of diffusers schedulers: they make the samples that the scheduler makes, to its own float32.

Every case is run both ways with the same network. diffusers keeps coefficients and states in float32; the network here
is smooth and small, so that rounding stays rounding: 2e-5 of states of size one over up to 20 calls.
"""

import copy
import inspect
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    HeunDiscreteScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    SASolverScheduler,
    UniPCMultistepScheduler,
)

from fewstep import Schedule, compile, models, sample
from fewstep.diffusers.importer import from_diffusers

pytestmark = [  # diffusers' own, about itself
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept context:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*algorithm_type.*dpmsolver.*:FutureWarning"),
]

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
CLOSE = {"rtol": 2e-5, "atol": 2e-5}
PREDICTIONS = {"epsilon": "noise", "sample": "data", "v_prediction": "velocity", "flow_prediction": "flow"}


def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return 0.5 * torch.sin(2 * x + t / 500)


def theirs(scheduler: Any, nfe: int, x: torch.Tensor) -> torch.Tensor:
    """diffusers' own loop from states that are its start states whatever it would scale noise with."""
    scheduler.set_timesteps(nfe)
    seeded = {"generator": torch.Generator().manual_seed(4)}
    draws = seeded if "generator" in inspect.signature(scheduler.step).parameters else {}
    for t in scheduler.timesteps:
        x_in = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(network(x_in, t), t, x, return_dict=False, **draws)[0]
    return x


def ours(schedule: Schedule, scheduler: Any, x: torch.Tensor) -> torch.Tensor:
    """`sample` of the imported schedule with the same network, told 1000·σ for flow, and noise drawn as diffusers does.

    That is once a call, used or not.
    """
    law, tableau = schedule.process, compile(schedule)
    scale = 1000.0 if law.kind == "flow" else 1.0
    prediction = PREDICTIONS[scheduler.config.get("prediction_type", "flow_prediction")]
    denoiser = models.from_callable(lambda x, t: network(x, scale * t[:, None]), law, prediction)
    generator = torch.Generator().manual_seed(4)
    drawn = [torch.randn(x.shape, generator=generator) for _ in range(schedule.nfe)]
    used = [drawn[int(np.flatnonzero(column)[0])] for column in tableau.noise.T]
    return sample(denoiser, schedule, x / law.prior_std, fresh=torch.stack(used) if used else None)


def noise() -> torch.Tensor:
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(2))


def check(scheduler: Any, nfe: int) -> Schedule:
    """Both loops end alike; states of the Euler family are x/α. Returns the schedule."""
    schedule = from_diffusers(scheduler, nfe)
    scaled = type(scheduler).__name__.startswith(("Euler", "Heun", "LMS"))
    law = schedule.process
    start, end = (float(law.alpha(schedule.times[i])) if scaled else 1.0 for i in (0, -1))
    want = theirs(copy.deepcopy(scheduler), nfe, noise() / start) * end
    torch.testing.assert_close(ours(schedule, scheduler, noise()), want, **CLOSE)
    return schedule


def orders(schedule: Schedule) -> list[int]:
    return [step.order for step in schedule.steps]


@pytest.mark.parametrize("nfe", [1, 2, 5, 16])
@pytest.mark.parametrize("kind", ["midpoint", "heun"])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("algorithm", ["dpmsolver++", "dpmsolver", "sde-dpmsolver++"])
def test_dpm_solver_multistep(algorithm: str, order: int, kind: str, nfe: int) -> None:
    """All orders, solver types and algorithms are choices, exactly; the order falls at the end where calls are few."""
    if algorithm.startswith("sde") and order == 3:
        return
    final = "sigma_min" if algorithm == "dpmsolver" else "zero"
    scheduler = DPMSolverMultistepScheduler(
        algorithm_type=algorithm, solver_order=order, solver_type=kind, final_sigmas_type=final, **SD
    )
    schedule = check(scheduler, nfe)
    assert schedule.fitted is None
    assert schedule.nfe == nfe
    assert max(orders(schedule)) == min(order, (nfe + 1) // 2 if nfe < 15 else order)


@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
def test_whole_time_steps_stay_whole(spacing: str) -> None:
    """Times are the scheduler's own integers, not what float32 sigmas make of them; clean data is −1."""
    scheduler = DPMSolverMultistepScheduler(timestep_spacing=spacing, **SD)
    schedule = check(scheduler, 7)
    scheduler.set_timesteps(7)
    assert schedule.times == (*(float(t) for t in scheduler.timesteps), -1.0)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("placed", ["use_karras_sigmas", "use_lu_lambdas", "use_exponential_sigmas"])
def test_sigmas_placed_beside_what_the_network_is_told(placed: str, prediction: str) -> None:
    """Rounded told times are offsets where the network predicts data; else numbers, made for that prediction."""
    schedule = check(DPMSolverMultistepScheduler(prediction_type=prediction, **{placed: True}, **SD), 8)
    assert (schedule.fitted is None) == (prediction == "sample")
    assert orders(schedule) == [1, *[2] * 6, 1]
    if prediction == "sample":
        assert any(step.offset for step in schedule.steps)
    told = compile(schedule).network_times
    np.testing.assert_array_equal(told, np.round(told))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("settings", [{}, {"use_karras_sigmas": True}, {"final_sigmas_type": "sigma_min"},
                                      {"disable_corrector": [0, 1]},
                                      {"lower_order_final": False, "final_sigmas_type": "sigma_min"}])  # fmt: skip
def test_unipc(order: int, settings: dict) -> None:
    """Predictor and corrector orders, disabled correctors, and no corrector after the last call."""
    schedule = check(UniPCMultistepScheduler(solver_order=order, **settings, **SD), 8)
    off = settings.get("disable_corrector", [])
    assert [bool(step.corrector) for step in schedule.steps] == [i not in off for i in range(7)] + [False]
    assert max(orders(schedule)) == order


@pytest.mark.parametrize("settings", [{"solver_type": "bh1"}, {"predict_x0": False}])
def test_unipc_variants(settings: dict) -> None:
    """B(h) = h and noise prediction; these end at sigma_min, since at zero diffusers makes NaN of them."""
    assert check(UniPCMultistepScheduler(final_sigmas_type="sigma_min", **settings, **SD), 6).fitted is None


@pytest.mark.parametrize("nfe", [3, 8, 16])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_deis(order: int, nfe: int) -> None:
    """Polynomials in log ρ are plain Taylor steps in noise form."""
    schedule = check(DEISMultistepScheduler(solver_order=order, **SD), nfe)
    assert schedule.fitted is None
    assert {step.scale for step in schedule.steps} == {"none"}


@pytest.mark.parametrize("algorithm", ["dpmsolver++", "dpmsolver"])
@pytest.mark.parametrize("kind", ["midpoint", "heun"])
@pytest.mark.parametrize(("order", "nfe"), [(2, 6), (2, 7), (3, 9), (3, 10), (3, 11)])
def test_dpm_solver_singlestep(order: int, nfe: int, kind: str, algorithm: str) -> None:
    """Sub-steps start one, two, three states back."""
    final = "sigma_min" if algorithm == "dpmsolver" else "zero"
    settings = {"lower_order_final": True, "final_sigmas_type": final, "algorithm_type": algorithm}
    schedule = check(DPMSolverSinglestepScheduler(solver_order=order, solver_type=kind, **settings, **SD), nfe)
    assert schedule.fitted is None
    assert min(step.start for step in schedule.steps) == -order


@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
@pytest.mark.parametrize(
    ("kind", "calls"),
    [(EulerDiscreteScheduler, 8), (HeunDiscreteScheduler, 15), (LMSDiscreteScheduler, 8)],
)
def test_the_family_that_keeps_x_over_alpha(kind: type, calls: int, spacing: str) -> None:
    """Euler, Heun and linear multistep in σ; Heun makes two calls for a step but the last."""
    for settings in ({}, {"use_karras_sigmas": True}):
        schedule = check(kind(timestep_spacing=spacing, steps_offset=1, **settings, **SD), 8)
        assert schedule.nfe == calls


def test_ancestral_samplers() -> None:
    """DDPM with the posterior's variance and Euler ancestral are order 1 with η = 1."""
    settings = {"timestep_spacing": "leading", "steps_offset": 1, **SD}
    for scheduler in (DDPMScheduler(clip_sample=False, **settings), EulerAncestralDiscreteScheduler(**settings)):
        schedule = check(scheduler, 8)
        assert schedule.fitted is None
        assert [step.eta for step in schedule.steps] == [1.0] * 7 + [0.0]


@pytest.mark.parametrize("to_one", [True, False])
def test_ddim(to_one: bool) -> None:
    """set_alpha_to_one chooses the end: clean data or the table's first entry."""
    settings = {"clip_sample": False, "steps_offset": 1, "set_alpha_to_one": to_one, **SD}
    schedule = check(DDIMScheduler(**settings), 8)
    assert schedule.fitted is None
    assert schedule.times[-1] == (-1.0 if to_one else 0.0)


@pytest.mark.parametrize("plain", [True, False])
def test_pndm(plain: bool) -> None:
    """Two calls for the first stride, or four for each of the first three; then four outputs a step."""
    schedule = check(PNDMScheduler(skip_prk_steps=plain, steps_offset=1, **SD), 10)
    assert schedule.fitted is None
    assert schedule.nfe == (11 if plain else 19)
    assert orders(schedule)[-1] == 4


@pytest.mark.parametrize(
    "scheduler",
    [
        DDIMScheduler(clip_sample=False, timestep_spacing="linspace", **SD),
        DDPMScheduler(clip_sample=False, variance_type="fixed_large", **SD),
        PNDMScheduler(steps_offset=1, **SD),
        SASolverScheduler(**SD),
    ],
    ids=lambda scheduler: type(scheduler).__name__,
)
def test_what_no_steps_say_is_measured(scheduler: Any) -> None:
    """Rows as found: DDIM's jumps beside its next time, DDPM's larger variance, halves of odd strides, τ(t)."""
    assert check(scheduler, 8).fitted is not None


def test_noise_that_outgrows_its_law_is_measured() -> None:
    """SDE-DPM-Solver on noise predictions adds more than it takes away: rows as found."""
    settings = {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min", **SD}
    schedule = from_diffusers(DPMSolverMultistepScheduler(**settings), 20)
    assert schedule.fitted.noise.shape == (20, 20)


@pytest.mark.parametrize(
    ("scheduler", "calls"),
    [
        (FlowMatchEulerDiscreteScheduler(shift=3.0), 6),
        (FlowMatchHeunDiscreteScheduler(shift=3.0), 11),
        (DPMSolverMultistepScheduler(**FLOW), 6),
        (UniPCMultistepScheduler(**FLOW), 6),
    ],
    ids=lambda value: type(value).__name__,
)
def test_flow(scheduler: Any, calls: int) -> None:
    """Times are σ, shift included; multistep classes tell the network whole time steps, so numbers come along."""
    schedule = check(scheduler, 6)
    assert schedule.process.kind == "flow"
    assert schedule.nfe == calls
    assert (schedule.fitted is None) == type(scheduler).__name__.startswith("Flow")
