"""The scheduler and noise: fresh noise of stochastic solvers, and clean samples brought to a noise level."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fewstep import Schedule, Tableau, compile, solvers
from fewstep.diffusers.scheduler import FewstepScheduler
from fewstep.processes import Discrete, Flow

LAW = Discrete.linear_betas()
SCHEDULE = solvers.named("dpmpp-2m").schedule(LAW, 5, "quadratic")
TOLD = np.array([0.0, -3.25, 2.5, 1.0, -1.5])  # beside the states' own times


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def fitted() -> Schedule:
    """The schedule with network times beside its own."""
    tableau = compile(SCHEDULE)
    return replace(SCHEDULE, fitted=replace(tableau, network_times=tableau.network_times + TOLD))


def stochastic() -> Schedule:
    """After every call but the last, the state is made anew from the data prediction and fresh noise."""
    times = np.array(SCHEDULE.times)
    fresh = np.eye(5, 4) * LAW.sigma(times[1:])[:, None]
    outputs, start = np.diag(LAW.alpha(times[1:])), np.zeros(5)
    return replace(SCHEDULE, fitted=Tableau(times, times[:-1], start, outputs, fresh))


def run(scheduler: FewstepScheduler, x: torch.Tensor, generator: object) -> torch.Tensor:
    for t in scheduler.timesteps:
        x = scheduler.step(0.5 * x, t, x, generator=generator).prev_sample
    return x


def test_fresh_noise_is_drawn_once_a_call() -> None:
    """z_i is one draw of the state's shape from the generator, in float32 or better, after call i's output is known."""
    scheduler = FewstepScheduler.from_schedule(stochastic(), "sample")
    got = run(scheduler, noise(2, 3), torch.Generator().manual_seed(7))
    x, generator = noise(2, 3), torch.Generator().manual_seed(7)
    for i, t in enumerate(SCHEDULE.times[1:]):
        x = LAW.alpha(t) * 0.5 * x
        if i < 4:
            x = x + LAW.sigma(t) * torch.randn(2, 3, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(got, x, rtol=1e-12, atol=1e-12)


def test_a_generator_for_each_sample_makes_them_independent_of_the_batch() -> None:
    """As in diffusers: a list of generators, one for each sample."""
    scheduler = FewstepScheduler.from_schedule(stochastic(), "sample")
    both = run(scheduler, noise(2, 3), [torch.Generator().manual_seed(seed) for seed in (7, 8)])
    alone = run(scheduler, noise(2, 3)[1:], [torch.Generator().manual_seed(8)])
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=0)


def test_half_precision_draws_in_float32() -> None:
    """The noise belongs to the state kept inside."""
    scheduler = FewstepScheduler.from_schedule(stochastic(), "sample")
    half = run(scheduler, noise(64, 3).half(), torch.Generator().manual_seed(7))
    whole = run(scheduler, noise(64, 3).float(), torch.Generator().manual_seed(7))
    torch.testing.assert_close(half.float(), whole, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("begin", [1, 3])
def test_a_stochastic_run_may_start_later(begin: int) -> None:
    """It draws the noises that are left."""
    scheduler = FewstepScheduler.from_schedule(stochastic(), "sample")
    scheduler.set_begin_index(begin)
    x, generator = noise(2, 3), torch.Generator().manual_seed(7)
    for t in scheduler.timesteps[begin:]:
        x = scheduler.step(0.5 * x, t, x, generator=generator).prev_sample
    drawn = torch.Generator().manual_seed(7)
    for _ in range(4 - begin):
        torch.randn(2, 3, generator=drawn, dtype=torch.float64)
    assert torch.equal(generator.get_state(), drawn.get_state())


def test_add_noise_brings_samples_to_the_level_of_the_state() -> None:
    """α·x_0 + σ·ε at a call's state time, whatever the network is told; elsewhere at the time itself."""
    schedule = fitted()
    scheduler, clean, fresh = FewstepScheduler.from_schedule(schedule), noise(3, 2, 2), noise(3, 2, 2).flip(0)
    for i in (1, 4):
        alpha, sigma = LAW.alpha(schedule.times[i]), LAW.sigma(schedule.times[i])
        got = scheduler.add_noise(clean, fresh, scheduler.timesteps[i : i + 1].repeat(3))
        torch.testing.assert_close(got, alpha * clean + sigma * fresh, rtol=1e-6, atol=1e-6)
        assert torch.equal(scheduler.scale_noise(clean, scheduler.timesteps[i : i + 1], fresh), got)
    mixed = scheduler.add_noise(clean, fresh, torch.tensor([0, 321, 999]))
    for row, t in zip(range(3), (0, 321, 999), strict=True):
        want = LAW.alpha(float(t)) * clean[row] + LAW.sigma(float(t)) * fresh[row]
        torch.testing.assert_close(mixed[row], want, rtol=1e-6, atol=1e-6)
    assert scheduler.add_noise(clean.half(), fresh.half(), torch.tensor([321])).dtype == torch.float16


def test_add_noise_reads_a_shifted_flows_time_steps_as_levels() -> None:
    """Flow networks count in σ: a time step beside the schedule's means that noise level, whatever the shift."""
    schedule = solvers.named("flow-euler").schedule(Flow(shift=3.0), 4)
    clean, fresh = noise(1, 2, 2), noise(1, 2, 2).flip(1)
    got = FewstepScheduler.from_schedule(schedule).add_noise(clean, fresh, torch.tensor([321.0]))
    torch.testing.assert_close(got, 0.679 * clean + 0.321 * fresh, rtol=1e-6, atol=1e-6)


def test_strength_starts_at_the_states_own_level() -> None:
    """add_noise at time step b and steps from b on end near the sample that a perfect network knows."""
    scheduler, clean = FewstepScheduler.from_schedule(SCHEDULE, "sample"), noise(2, 3)
    x = scheduler.add_noise(clean, noise(2, 3).flip(0), scheduler.timesteps[2:3])
    scheduler.set_begin_index(2)
    for t in scheduler.timesteps[2:]:
        x = scheduler.step(clean, t, x).prev_sample
    want = LAW.alpha(0.0) * clean + LAW.sigma(0.0) * noise(2, 3).flip(0)
    torch.testing.assert_close(x, want, rtol=1e-5, atol=1e-5)
