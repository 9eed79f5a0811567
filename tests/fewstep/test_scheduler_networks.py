"""Networks that get their state or time in another way: preconditioned (EDM), inverted (Mochi), by their pipeline.

Each runs against the genuine scheduler of diffusers on the same made-up network.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    CogView4Pipeline,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)

from fewstep import Schedule, Step, models, sample, solvers
from fewstep.diffusers import FewstepScheduler, install, read_law
from fewstep.errors import InvalidInput
from fewstep.models import scheduler_config
from fewstep.models.reading import reading
from fewstep.models.scheduler_config import NetworkSpec
from fewstep.processes import VE, Discrete, Flow
from tests.fewstep.test_scheduler_round_trips import Pipe

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")  # diffusers'


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def network(x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
    """Something that depends on both inputs."""
    return torch.tanh(0.7 * x + 0.3 * torch.as_tensor(told, dtype=x.dtype).reshape(-1, *(1,) * (x.ndim - 1)).sin())


def run(scheduler: Any, x: torch.Tensor, function: Callable = network) -> torch.Tensor:
    """A pipeline's loop from the state ``x``."""
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(function(scaled, t), t, x, return_dict=False)[0]
    return x


def euler_on(sigmas: torch.Tensor) -> Schedule:
    """First order through the levels of a VE process."""
    times = tuple(sigmas.double().tolist())
    return Schedule(VE(times[-2], times[0]), times, (Step(),) * (len(times) - 1))


PRECONDITIONED = [
    EDMEulerScheduler(sigma_max=20.0),
    EDMEulerScheduler(sigma_data=1.0, prediction_type="v_prediction"),
    EDMDPMSolverMultistepScheduler(solver_order=1, sigma_max=80.0),
    EulerDiscreteScheduler(
        timestep_type="continuous",
        prediction_type="v_prediction",
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=700.0,
    ),
]


@pytest.mark.parametrize("old", PRECONDITIONED, ids=lambda old: type(old).__name__)
def test_preconditioned_networks_make_what_their_own_scheduler_makes(old: Any) -> None:
    """Playground 2.5, Cosmos, Stable Video Diffusion: scaled inputs, ln σ/4, c_skip and c_out."""
    old.set_timesteps(5)
    start = noise(2, 3, 4) * old.sigmas[0]
    want = run(old, start)
    pipe = Pipe(old)
    scheduler = install(pipe, euler_on(old.sigmas))
    torch.testing.assert_close(scheduler.timesteps, old.timesteps.float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scheduler.sigmas, old.sigmas)
    got = run(scheduler, start)
    torch.testing.assert_close(got, want, rtol=2e-5, atol=2e-5)
    spec = read_law(pipe)
    told = reading(spec)
    denoiser = models.from_callable(
        lambda x, t: told.data(network(*told.inputs(x, t)), x, t), spec.process, prediction="data"
    )
    torch.testing.assert_close(sample(denoiser, scheduler.schedule, noise(2, 3, 4)), got, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("old", PRECONDITIONED[:2], ids=lambda old: old.config.prediction_type)
def test_inputs_times_and_data_are_those_of_the_class(old: Any) -> None:
    """The class's own precondition_inputs, precondition_noise and precondition_outputs."""
    spec = read_law(old)
    scheduler = FewstepScheduler(
        solvers.named("dpmpp-2m").schedule(spec.process, 4),
        old.config.prediction_type,
        preconditioning=spec.preconditioning,
        sigma_data=old.config.sigma_data,
    )
    x, output = noise(2, 3), noise(2, 3).flip(0)
    for i, t in enumerate(scheduler.timesteps):
        sigma = torch.tensor(scheduler.schedule.times[i], dtype=torch.float64)
        torch.testing.assert_close(t.double(), old.precondition_noise(sigma), rtol=1e-6, atol=1e-6)
        scaled = scheduler.scale_model_input(x, t)
        torch.testing.assert_close(scaled.double(), old.precondition_inputs(x.double(), sigma), rtol=1e-6, atol=1e-6)
        x_next, data = scheduler.step(output, t, x, return_dict=False)
        want = old.precondition_outputs(x.double(), output.double(), sigma)
        torch.testing.assert_close(data.double(), want, rtol=1e-5, atol=1e-5)
        added = scheduler.add_noise(0 * x, torch.ones_like(x), torch.tensor([float(t) * 1.001]))
        level = float(added[0, 0])
        assert float(old.precondition_noise(torch.tensor(level))) == pytest.approx(float(t) * 1.001, rel=1e-4)
        x = x_next


def test_stable_audio_is_told_an_arctangent() -> None:
    """atan(σ)·2/π in the place of log(σ)/4, there and back; its class wants a package of its own to be made."""
    spec = scheduler_config.read({"_class_name": "CosineDPMSolverMultistepScheduler"})
    assert (spec.process, spec.prediction, spec.sigma_data) == (VE(0.3, 500.0), "velocity", 1.0)
    schedule = solvers.named("dpmpp-2m").schedule(spec.process, 4)
    scheduler = FewstepScheduler(schedule, "v_prediction", preconditioning="edm-atan", sigma_data=1.0)
    told = 2 / np.pi * np.arctan(np.array(schedule.times[:-1]))
    np.testing.assert_allclose(scheduler.timesteps.numpy(), told, rtol=1e-6)
    added = scheduler.add_noise(torch.zeros(1, 1), torch.ones(1, 1), torch.tensor([0.5]))
    assert float(added) == pytest.approx(1.0)
    got = run(scheduler, 500 * noise(2, 3))
    told_network = reading(spec)
    denoiser = models.from_callable(
        lambda x, t: told_network.data(network(*told_network.inputs(x, t)), x, t), spec.process, prediction="data"
    )
    torch.testing.assert_close(got, sample(denoiser, schedule, noise(2, 3)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["euler", "dpmpp-2m"])
@pytest.mark.parametrize("pairs", [False, True])
def test_a_pipeline_may_ask_for_the_data_first_and_step_then(name: str, pairs: bool) -> None:
    """Cosmos: data predictions of a guided pair, the index set back, then a step from their combination."""
    schedule = solvers.named(name).schedule(VE(0.002, 80.0), 4)
    first, second = (FewstepScheduler(schedule, "epsilon", sigma_data=0.5) for _ in range(2))
    x = y = 80.0 * noise(2, 3)
    for t in first.timesteps:
        output = network(first.scale_model_input(x, t), t)
        both = (torch.cat([output, output]), torch.cat([x, x])) if pairs else (output, x)
        data = first.step(both[0], t, both[1], return_dict=False)[1]
        first._step_index -= 1
        data = data.chunk(2)[0] if pairs else data
        x = first.step(data, t, x, return_dict=False, pred_original_sample=data)[0]
        y = second.step(network(second.scale_model_input(y, t), t), t, y).prev_sample
    torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-4)


def test_inverted_flows_make_what_their_own_scheduler_makes() -> None:
    """Mochi: levels rise from 0, the network is told 1000·(1 − σ) and predicts data minus noise."""
    old = FlowMatchEulerDiscreteScheduler(invert_sigmas=True)
    levels = [1.0, 0.9, 0.7, 0.4]
    old.set_timesteps(sigmas=levels)
    want = run(old, noise(2, 3))
    pipe = Pipe(old)
    assert read_law(pipe).preconditioning == "inverted"
    scheduler = install(pipe, Schedule(Flow(), (*levels, 0.0), (Step(),) * 4))
    torch.testing.assert_close(scheduler.timesteps, old.timesteps)
    torch.testing.assert_close(scheduler.sigmas, old.sigmas)
    torch.testing.assert_close(run(scheduler, noise(2, 3)), want, rtol=1e-5, atol=1e-5)
    mixed = scheduler.add_noise(noise(1, 3), noise(1, 3).flip(1), torch.tensor([250.0]))
    torch.testing.assert_close(mixed, 0.25 * noise(1, 3) + 0.75 * noise(1, 3).flip(1), rtol=1e-5, atol=1e-5)


def test_networks_that_are_told_times_without_shift() -> None:
    """CogView4 passes whole time steps beside sigmas, which its scheduler shifts: the network is told the former."""
    old = FlowMatchEulerDiscreteScheduler(shift=3.0)
    old.set_timesteps(timesteps=[1000.0, 667.0, 334.0, 1.0], sigmas=[1.0, 0.667, 0.334, 0.001])
    want = run(old, noise(2, 3))
    pipe = type(CogView4Pipeline.__name__, (Pipe,), {})(old)
    spec = read_law(pipe)
    assert spec == NetworkSpec(Flow(shift=3.0), "flow", 1000.0, None, "unshifted")
    schedule = Schedule(spec.process, (1.0, 0.667, 0.334, 0.001, 0.0), (Step(),) * 4)
    scheduler = install(pipe, schedule)
    torch.testing.assert_close(scheduler.timesteps, old.timesteps)
    torch.testing.assert_close(scheduler.sigmas, old.sigmas)
    torch.testing.assert_close(run(scheduler, noise(2, 3)), want, rtol=1e-5, atol=1e-5)
    mixed = scheduler.add_noise(noise(1, 3), 0 * noise(1, 3), torch.tensor([500.0]))
    torch.testing.assert_close(mixed, 0.25 * noise(1, 3), rtol=1e-5, atol=1e-5)


def test_flow_schedulers_behind_a_range_of_sigmas_are_variance_exploding() -> None:
    """Cosmos 2: its pipeline makes a noise prediction at σ up to 80, states start at σ_max, levels may be edited."""
    old = FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True)
    old.register_to_config(sigma_min=0.002, sigma_max=80.0, sigma_data=1.0, final_sigmas_type="sigma_min")
    spec = read_law(old)
    assert (spec.process, spec.prediction, spec.preconditioning) == (VE(0.002, 80.0), "noise", "pipeline")
    old.set_timesteps(sigmas=np.linspace(0, 1, 4))
    start = 80.0 * noise(2, 3)
    want = run_plain(old, start)
    scheduler = install(Pipe(old), euler_on(old.sigmas))
    scheduler.set_timesteps(sigmas=torch.linspace(0, 1, 4, dtype=torch.float64))
    scheduler.sigmas[-1] = scheduler.sigmas[-2]
    torch.testing.assert_close(run_plain(scheduler, start), want, rtol=1e-5, atol=1e-5)


def run_plain(scheduler: Any, x: torch.Tensor) -> torch.Tensor:
    """A loop whose network is told the level by the pipeline."""
    for i, t in enumerate(scheduler.timesteps):
        x = scheduler.step(network(x, scheduler.sigmas[i]), t, x, return_dict=False)[0]
    return x


def test_nothing_is_guessed_of_a_variance_exploding_network() -> None:
    """Without a preconditioning it is refused, and so is one that does not fit the process."""
    schedule = solvers.named("ddim").schedule(VE(), 3)
    for given in ({}, {"prediction_type": "epsilon", "time_scale": 1.0}):
        with pytest.raises(InvalidInput, match=r"preconditioning='edm' with sigma_data.*install"):
            FewstepScheduler.from_schedule(schedule, **given)
    plain = FewstepScheduler.from_schedule(schedule, "epsilon", 1.0, preconditioning="none")
    assert plain.timesteps[0] == 80.0
    table = solvers.named("ddim").schedule(Discrete.linear_betas(), 3)
    with pytest.raises(InvalidInput, match="edm belongs to the process ve, not discrete"):
        FewstepScheduler.from_schedule(table, sigma_data=0.5)
