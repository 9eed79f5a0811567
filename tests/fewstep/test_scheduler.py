"""The scheduler by itself: the same states as `sample`, precision, starts, changes between steps, what it refuses."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from fewstep import Schedule, Step, compile, models, sample, solvers, states
from fewstep.diffusers.scheduler import FewstepScheduler
from fewstep.errors import InvalidInput
from fewstep.models import Denoiser
from fewstep.processes import Discrete, Process

LAW = Discrete.linear_betas()
SCHEDULE = solvers.named("dpmpp-2m").schedule(LAW, 5, "quadratic")
EXACT = {"rtol": 1e-9, "atol": 1e-9}


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2), dtype=dtype)


def network(denoiser: Denoiser, prediction: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The network of that prediction type whose data prediction is the denoiser's."""

    def output(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        data = denoiser(x, t)
        alpha, sigma = (
            of(t).reshape(-1, *(1,) * (x.ndim - 1)) for of in (denoiser.process.alpha, denoiser.process.sigma)
        )
        noise = (x - alpha * data) / sigma
        return {"epsilon": noise, "sample": data, "v_prediction": alpha * noise - sigma * data}[prediction]

    return output


def run(
    scheduler: FewstepScheduler, function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    """A pipeline's loop on exact times: float32 time steps would show in float64."""
    x, generator = x * scheduler.init_noise_sigma, torch.Generator().manual_seed(4)
    told = compile(scheduler.schedule).network_times
    for i, t in enumerate(scheduler.timesteps):
        x_in = scheduler.scale_model_input(x, t)
        output = function(x_in, torch.full((len(x),), told[i], dtype=x.dtype))
        x = scheduler.step(output, t, x, generator).prev_sample
    return x


@pytest.mark.parametrize("name", [name for name in solvers.names() if solvers.named(name).applies(LAW)])
def test_it_makes_the_samples_of_sample(make_mixture, name: str) -> None:
    """The same end as `sample` on the same seeds, whatever the network predicts, to rounding in float64."""
    denoiser = make_mixture(LAW)
    for nfe, prediction in ((1, "epsilon"), (9, "epsilon"), (4, "sample"), (4, "v_prediction")):
        schedule = solvers.named(name).schedule(LAW, nfe, "quadratic")
        scheduler = FewstepScheduler.from_schedule(schedule, prediction)
        got = run(scheduler, network(denoiser, prediction), noise(3, 3))
        want = sample(denoiser, schedule, noise(3, 3), torch.Generator().manual_seed(4))
        torch.testing.assert_close(  # states far out, as f-pndm's, amplify rounding
            got, want, rtol=1e-7, atol=1e-8, msg=lambda text, case=(nfe, prediction): f"{case}: {text}"
        )


def test_every_process(make_mixture, process: Process) -> None:
    """Any noise law will do where prediction type and time scale are given."""
    denoiser = make_mixture(process)
    schedule = solvers.named("dpmpp-2m").schedule(process, 4, "time")
    scheduler = FewstepScheduler(schedule, "sample", time_scale=1.0, preconditioning="none")
    got = run(scheduler, network(denoiser, "sample"), noise(2, 3))
    torch.testing.assert_close(got, sample(denoiser, schedule, noise(2, 3)), **EXACT)


def fitted() -> Schedule:
    """A schedule with dense rows and network times beside its own."""
    tableau = compile(SCHEDULE)
    wild = np.random.default_rng(3)
    outputs = tableau.outputs + np.tril(wild.normal(0, 0.05, tableau.outputs.shape))
    told = tableau.network_times + np.array([0.0, -3.25, 2.5, 1.0, -1.5])
    return replace(SCHEDULE, fitted=replace(tableau, outputs=outputs, network_times=told))


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_fitted_rows_and_network_times(make_mixture, prediction: str) -> None:
    """The network is told the schedule's network times, and rows are applied as they stand."""
    denoiser, schedule = make_mixture(LAW), fitted()
    scheduler = FewstepScheduler.from_schedule(schedule, prediction)
    np.testing.assert_array_equal(scheduler.timesteps.numpy(), compile(schedule).network_times.astype(np.float32))
    got = run(scheduler, network(denoiser, prediction), noise(3, 3))
    torch.testing.assert_close(got, sample(denoiser, schedule, noise(3, 3)), **EXACT)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_pipelines_keep_the_state_in_float32(make_mixture, dtype: torch.dtype) -> None:
    """Only what the network sees and says is rounded: the end is `sample`'s float32 end, rounded once."""
    denoiser = make_mixture(LAW)
    function = network(denoiser, "epsilon")

    def half(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return function(x.to(dtype).float(), t.float()).to(dtype)

    scheduler, start = FewstepScheduler.from_schedule(SCHEDULE), noise(64, 3).to(dtype)
    x = start
    for i, t in enumerate(scheduler.timesteps):
        x = scheduler.step(half(x, torch.full((64,), float(SCHEDULE.times[i]))), t, x).prev_sample
        assert x.dtype == dtype
    wrapped = models.from_callable(lambda x, t: half(x, t).float(), LAW)
    want = sample(wrapped, SCHEDULE, start.float())
    # one unit in the last place where float32 sums fall on either side of a rounding limit, and what follows from it
    assert (x.float() - want).abs().mean() < torch.finfo(dtype).eps * want.abs().mean()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("in_place", [False, True])
def test_a_state_changed_between_steps_is_carried_on(make_mixture, dtype: torch.dtype, in_place: bool) -> None:
    """Callbacks and masks replace or edit the sample: the run goes on from what they made of it.

    The last step of order 1 shows it: it depends on the state and the output only.
    """
    scheduler, alpha, sigma = FewstepScheduler.from_schedule(SCHEDULE), LAW.alpha, LAW.sigma
    x = noise(4, 3).to(dtype)
    for t in scheduler.timesteps[:-1]:
        x = scheduler.step(0.3 * x, t, x).prev_sample
    x = x.add_(0.5) if in_place else x + 0.5
    output = 0.25 * x
    got = scheduler.step(output, scheduler.timesteps[-1], x).prev_sample
    s, t = SCHEDULE.times[-2:]
    data = (x.double() - sigma(s) * output.double()) / alpha(s)
    want = alpha(t) * data + sigma(t) * output.double()
    torch.testing.assert_close(got.double(), want, rtol=4 * torch.finfo(dtype).eps, atol=4 * torch.finfo(dtype).eps)


def test_untouched_half_states_lose_nothing() -> None:
    """Steps that change little would be lost in bfloat16; the state kept inside carries them."""
    schedule = solvers.named("ddim").schedule(LAW, 400, "time")
    scheduler = FewstepScheduler.from_schedule(schedule, "sample")
    x = torch.full((1, 3), 1.5, dtype=torch.bfloat16)
    for t in scheduler.timesteps:
        x = scheduler.step(torch.zeros_like(x), t, x.clone()).prev_sample
    exact = 1.5 * LAW.sigma(0.0) / LAW.sigma(999.0)
    torch.testing.assert_close(x.double(), torch.full((1, 3), exact).double(), rtol=8e-3, atol=0)


def test_a_step_does_not_wait_for_the_device() -> None:
    """On the meta device there is nothing to read, and nothing is read."""
    for schedule in (SCHEDULE, fitted()):
        scheduler = FewstepScheduler.from_schedule(schedule)
        scheduler.set_timesteps(5, device="meta")
        x = torch.empty(2, 3, device="meta", dtype=torch.float16)
        for t in scheduler.timesteps:
            x = scheduler.step(torch.empty_like(x), t, scheduler.scale_model_input(x, t)).prev_sample
        assert x.shape == (2, 3)
        scheduler.add_noise(x, x, scheduler.timesteps[1:2])


def steps_from(scheduler: FewstepScheduler, begin: int, x: torch.Tensor) -> torch.Tensor:
    for t in scheduler.timesteps[begin:]:
        x = scheduler.step(0.4 * x, t, x, return_dict=False)[0]
    return x


@pytest.mark.parametrize("told", ["index", "value"])
@pytest.mark.parametrize("begin", [1, 3, 4])
def test_a_run_may_start_at_a_later_call(begin: int, told: str) -> None:
    """Image to image: from the state at t_b, as a schedule on the later times whose first step has order 1."""
    scheduler = FewstepScheduler.from_schedule(SCHEDULE)
    if told == "index":
        scheduler.set_begin_index(begin)
        assert scheduler.begin_index == begin
    later = Schedule(LAW, SCHEDULE.times[begin:], (Step(), *SCHEDULE.steps[begin + 1 :]))
    want = sample(models.from_callable(lambda x, t: 0.4 * x, LAW), later, noise(2, 3))
    torch.testing.assert_close(steps_from(scheduler, begin, noise(2, 3)), want, **EXACT)


def test_a_begin_index_lasts_until_the_next_set_timesteps() -> None:
    """As in diffusers."""
    scheduler = FewstepScheduler.from_schedule(SCHEDULE)
    scheduler.set_begin_index(3)
    steps_from(scheduler, 3, noise(2, 3))
    scheduler.set_timesteps(5)
    assert scheduler.begin_index is None
    assert scheduler.step_index is None
    with pytest.raises(InvalidInput, match="calls 0 to 4, got begin index 5"):
        scheduler.set_begin_index(5)


def test_a_loop_may_be_run_again() -> None:
    """The first time step begins a new run, with another batch, even without set_timesteps."""
    scheduler = FewstepScheduler.from_schedule(SCHEDULE)
    first = steps_from(scheduler, 0, noise(2, 3))
    steps_from(scheduler, 0, noise(5, 4))
    assert torch.equal(steps_from(scheduler, 0, noise(2, 3)), first)


@pytest.mark.parametrize("form", [float, int, torch.tensor, lambda t: torch.tensor([t, t], dtype=torch.bfloat16)])
def test_a_time_step_may_be_a_number_or_another_tensor(form: Callable) -> None:
    """Plain numbers, scalars and batches, even rounded to half precision, say which call is meant."""
    scheduler = FewstepScheduler.from_schedule(replace(SCHEDULE, times=(999.0, 700.0, 500.0, 300.0, 100.0, 0.0)))
    x, want = noise(2, 3), steps_from(scheduler, 0, noise(2, 3))
    scheduler.set_timesteps()
    for t in (999.0, 700.0, 500.0, 300.0, 100.0):
        x = scheduler.step(0.4 * x, form(t), x).prev_sample
    assert torch.equal(x, want)


def test_calls_come_in_order() -> None:
    """A skipped, repeated or unknown time step is an error, and so is one after the end."""
    scheduler, x = FewstepScheduler.from_schedule(SCHEDULE), noise(2, 3)
    with pytest.raises(InvalidInput, match="not among this schedule's time steps"):
        scheduler.step(x, 123.0, x)
    scheduler.step(x, scheduler.timesteps[0], x)
    scheduler.step(x, scheduler.timesteps[1], x)
    for wrong in (1, 3):
        with pytest.raises(InvalidInput, match=f"call 2 comes next, got the time step of call {wrong}"):
            scheduler.step(x, scheduler.timesteps[wrong], x)
    steps_from(scheduler, 2, x)
    with pytest.raises(InvalidInput, match="call 5 comes next"):
        scheduler.step(x, scheduler.timesteps[4], x)


def test_a_learned_variance_is_left_out() -> None:
    """A network with twice the channels says the variance in the second half; other shapes are refused."""
    scheduler, x = FewstepScheduler.from_schedule(SCHEDULE), noise(2, 4, 3)
    want = scheduler.step(0.3 * x, scheduler.timesteps[0], x).prev_sample
    double = torch.cat([0.3 * x, noise(2, 4, 3)], dim=1)
    assert torch.equal(scheduler.step(double, scheduler.timesteps[0], x).prev_sample, want)
    with pytest.raises(InvalidInput, match=r"made \(2, 3, 3\) of states \(2, 4, 3\)"):
        scheduler.step(x[:, :3], scheduler.timesteps[0], x)


def test_states_and_steps_agree_all_along(make_mixture) -> None:
    """Not the end alone: every state between."""
    denoiser, scheduler = make_mixture(LAW), FewstepScheduler.from_schedule(SCHEDULE, "sample")
    x = noise(2, 3)
    for i, want in enumerate(states(denoiser, SCHEDULE, noise(2, 3))):
        torch.testing.assert_close(x, want, **EXACT)
        if i < 5:
            told = torch.full((2,), SCHEDULE.times[i], dtype=torch.float64)
            x = scheduler.step(denoiser(x, told), scheduler.timesteps[i], x).prev_sample
