"""Warnings where a schedule runs under other circumstances than it was searched under."""

import math
import warnings
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from fewstep import Schedule, solvers
from fewstep.diffusers import Circumstances, CircumstanceWarning, install
from fewstep.errors import InvalidInput
from fewstep.processes import Discrete, Flow
from tests.fewstep.test_scheduler_round_trips import Pipe


def on(process: Any) -> Schedule:
    return solvers.named("dpmpp-2m").schedule(process, 3)


@pytest.fixture(autouse=True)
def loud() -> Any:
    """Every warning is an error here, so that silence is tested too."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", CircumstanceWarning)
        yield


def test_another_resolution_is_told_by_its_shift() -> None:
    """Flux passes mu by image size; the schedule's own process says at which it was searched."""
    pipe = Pipe(FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True))
    scheduler = install(pipe, on(Flow(shift=math.exp(1.15))))
    scheduler.set_timesteps(3, mu=1.15)
    with pytest.raises(CircumstanceWarning, match=r"mu 0\.5, searched at 1\.15\); its|mu 0\.5, searched at 1\.15"):
        scheduler.set_timesteps(3, mu=0.5)
    linear = Pipe(FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, time_shift_type="linear"))
    install(linear, on(Flow(shift=2.0))).set_timesteps(3, mu=2.0)
    with pytest.raises(CircumstanceWarning, match="mu 4, searched at 2"):
        linear.scheduler.set_timesteps(3, mu=4.0)


def test_a_shift_of_one_and_static_shifts_say_nothing() -> None:
    """Such a schedule was made for no image size in particular; a static pipeline has none."""
    install(Pipe(FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)), on(Flow())).set_timesteps(3, mu=0.5)
    install(Pipe(FlowMatchEulerDiscreteScheduler(shift=3.0)), on(Flow(shift=3.0))).set_timesteps(3, mu=0.5)


def test_shape_and_precision_are_compared_at_the_first_step() -> None:
    """Once in a run, not at every call."""
    searched = Circumstances(shape=(3,), dtype="float32")
    scheduler = install(Pipe(DDIMScheduler()), on(Discrete.linear_betas()), searched=searched)
    x = torch.ones(2, 3)
    for t in scheduler.timesteps:
        x = scheduler.step(x, t, x).prev_sample
    scheduler.set_timesteps(3)
    with pytest.raises(CircumstanceWarning, match=r"latents \(4,\), searched at \(3,\); precision float16"):
        scheduler.step(torch.ones(2, 4).half(), scheduler.timesteps[0], torch.ones(2, 4))
    scheduler.step(torch.ones(2, 4).half(), scheduler.timesteps[0], torch.ones(2, 4))


def test_adapters_are_compared_when_it_is_installed() -> None:
    """Those that are active in the pipeline; where it cannot say, nothing is compared."""
    pipe = Pipe(DDIMScheduler())
    pipe.get_active_adapters = lambda: ["style"]  # type: ignore[attr-defined]
    schedule = on(Discrete.linear_betas())
    install(pipe, schedule, searched=Circumstances(adapters=("style",)))
    with pytest.raises(CircumstanceWarning, match=r"adapters \('style',\), searched at none"):
        install(pipe, schedule, searched=Circumstances(adapters=()))
    install(Pipe(DDIMScheduler()), schedule, searched=Circumstances(adapters=("style",)))
    with pytest.raises(InvalidInput, match="mu is a finite number"):
        Circumstances(mu=math.nan)
