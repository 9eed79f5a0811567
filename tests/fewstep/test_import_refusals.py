"""What cannot be read out of a diffusers scheduler is said, and the scheduler is left as it was."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchLCMScheduler,
    SASolverScheduler,
    UnCLIPScheduler,
    UniPCMultistepScheduler,
)

from fewstep import compile
from fewstep.diffusers.importer import from_diffusers
from fewstep.errors import InvalidInput

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")  # diffusers'


def test_the_scheduler_is_left_alone() -> None:
    """A copy is set and run: a pipeline in the middle of things goes on as before."""
    scheduler = DPMSolverMultistepScheduler()
    scheduler.set_timesteps(9)
    x = torch.ones(1, 3)
    scheduler.step(x, scheduler.timesteps[0], x)
    before = copy.deepcopy(scheduler.__dict__)
    from_diffusers(scheduler, 4)
    assert scheduler.step_index == 1
    assert torch.equal(scheduler.timesteps, before["timesteps"])
    assert torch.equal(scheduler.model_outputs[-1], before["model_outputs"][-1])


def test_custom_time_steps_and_sigmas() -> None:
    """What set_timesteps takes besides a number of steps."""
    times = [999, 850, 736, 645, 545, 455, 343, 233, 124, 24]
    schedule = from_diffusers(DPMSolverMultistepScheduler(), timesteps=times)
    assert schedule.times == (*map(float, times), -1.0)
    sigmas = [14.6, 3.0, 0.7, 0.0]
    schedule = from_diffusers(EulerDiscreteScheduler(), sigmas=sigmas)
    law = schedule.process
    np.testing.assert_allclose(
        law.sigma(np.array(schedule.times)) / law.alpha(np.array(schedule.times)), sigmas, atol=1e-6
    )


@pytest.mark.parametrize(
    ("scheduler", "words"),
    [
        (DDPMScheduler(clip_sample=False, thresholding=True), "has thresholding.*make it with thresholding=False"),
        (DDPMScheduler(clip_sample=False, variance_type="learned_range"), "variance of its noise from the network"),
        (FlowMatchLCMScheduler(scale_factors=[1.0, 2.0], upscale_mode="nearest"), "has scale_factors"),
    ],
    ids=["thresholding", "learned variance", "growing states"],
)
def test_what_is_not_linear_is_refused(scheduler: Any, words: str) -> None:
    """Thresholds and outputs that scale noise are no part of a schedule; the message says how to go on."""
    with pytest.raises(InvalidInput, match=words):
        from_diffusers(scheduler, 3)


def test_unknown_classes_are_refused() -> None:
    """The message lists the known ones."""
    with pytest.raises(InvalidInput, match="cannot read a schedule out of UnCLIPScheduler; known: CogVideoXDDIM"):
        from_diffusers(UnCLIPScheduler(), 4)


def test_noise_levels_beyond_the_table_are_refused() -> None:
    """A sigma_max that the betas do not reach is another law than the network's, unless time steps are continuous."""
    with pytest.raises(InvalidInput, match="its largest sigma, 700, lies beyond its table's"):
        from_diffusers(EulerDiscreteScheduler(use_karras_sigmas=True, sigma_min=0.002, sigma_max=700.0), 5)


def test_noise_levels_that_are_not_numbers_are_refused() -> None:
    """Stretching one step to a terminal shift divides by zero in diffusers."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift_terminal=0.1)
    with pytest.raises(InvalidInput, match=r"NaN or infinity of its own noise levels.*shift_terminal"):
        from_diffusers(scheduler, 1)


def test_a_start_from_almost_clean_data_is_refused() -> None:
    """One step of Euler's linear spacing starts where σ is 0.029, from as little noise."""
    scheduler = EulerDiscreteScheduler(timestep_spacing="linspace", use_exponential_sigmas=True)
    with pytest.raises(InvalidInput, match=r"from almost clean data.*timestep_spacing='trailing'"):
        from_diffusers(scheduler, 1)


def test_settings_that_make_nan_are_refused() -> None:
    """UniPC's bh1 divides infinity by infinity where the last sigma is zero."""
    with pytest.raises(InvalidInput, match=r"makes NaN or infinity of ordinary states.*final_sigmas_type"):
        from_diffusers(UniPCMultistepScheduler(solver_type="bh1"), 5)


def test_settings_that_the_scheduler_fails_with_are_refused() -> None:
    """Its third order cannot reach a last sigma of zero."""
    with pytest.raises(InvalidInput, match="UniPCMultistepScheduler itself fails with these settings"):
        from_diffusers(UniPCMultistepScheduler(solver_order=3, lower_order_final=False), 5)


def test_a_last_step_without_length_that_moves_the_state_is_refused() -> None:
    """SA-Solver corrects the state at the noise level where it ends, with noise; one step has nothing but that."""
    flow = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
    with pytest.raises(InvalidInput, match="1 more calls at the noise level where it ends, and they move the state"):
        from_diffusers(SASolverScheduler(**flow), 5)
    with pytest.raises(InvalidInput, match=r"the only step of this EDMEulerScheduler has no length.*'zero'"):
        from_diffusers(EDMEulerScheduler(final_sigmas_type="sigma_min"), 1)


def test_a_table_that_ends_in_pure_noise_can_be_read() -> None:
    """A last ᾱ of zero is read as one close to zero: the same times and, but for that, the same rows."""
    options = {"clip_sample": False, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    stable = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    for betas in ({}, stable):
        schedule = from_diffusers(DDIMScheduler(rescale_betas_zero_snr=True, **options, **betas), 5)
        assert schedule.times == (999.0, 799.0, 599.0, 399.0, 199.0, -1.0)
        assert 0 < schedule.process.alpha(999.0) <= 2.0**-12
        assert compile(schedule).close_to(compile(replace(schedule, fitted=None)), 1e-3)


@pytest.mark.parametrize("given", [{}, {"num_inference_steps": 0}, {"num_inference_steps": -3}])
def test_a_number_of_steps_is_wanted(given: dict) -> None:
    """At least one, or times."""
    with pytest.raises(InvalidInput, match="pass a number of inference steps, at least 1, or timesteps or sigmas"):
        from_diffusers(DDIMScheduler(clip_sample=False), **given)


def test_what_set_timesteps_does_not_take_is_refused() -> None:
    """The scheduler's own words are passed on."""
    with pytest.raises(InvalidInput, match="DDIMScheduler does not take"):
        from_diffusers(DDIMScheduler(clip_sample=False), sigmas=[1.0, 0.0])
    with pytest.raises(InvalidInput, match=r"UniPCMultistepScheduler does not take.*use_flow_sigmas"):
        from_diffusers(UniPCMultistepScheduler(), sigmas=[1.0, 0.0])
