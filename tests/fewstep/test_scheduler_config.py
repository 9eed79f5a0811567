"""The scheduler's configuration: what it takes, what it saves and loads, what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from fewstep import Schedule, compile, solvers
from fewstep.diffusers.scheduler import FewstepScheduler
from fewstep.errors import InvalidInput, InvalidSchedule, UnknownName
from fewstep.models.scheduler_config import STORED
from fewstep.processes import Cosine, Discrete, VPLinear

LAW = Discrete.linear_betas()
SCHEDULE = solvers.named("dpmpp-2m").schedule(LAW, 5, "quadratic")


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def fitted() -> Schedule:
    """A schedule whose rows are its own."""
    tableau = compile(SCHEDULE)
    numbers = replace(tableau, start=tableau.start * 0.99, network_times=tableau.times[:-1] - 0.25)
    return replace(SCHEDULE, fitted=numbers)


def test_set_timesteps_takes_the_schedules_own_number_only() -> None:
    """None or the number of calls; anything else is an error that names the right one."""
    scheduler = FewstepScheduler.from_schedule(SCHEDULE)
    for given in (None, 5):
        scheduler.set_timesteps(given)
        assert len(scheduler.timesteps) == scheduler.num_inference_steps == 5
    with pytest.raises(InvalidInput, match="num_inference_steps=5, not 50"):
        scheduler.set_timesteps(50)


def test_sigmas_that_a_pipeline_fills_in_are_not_taken_for_a_choice() -> None:
    """Flow pipelines pass 1, 1 − 1/N … by themselves, with a time shift; other sigmas are refused."""
    scheduler = FewstepScheduler.from_schedule(SCHEDULE)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / 5, 5), mu=1.15)
    assert len(scheduler.timesteps) == 5
    with pytest.raises(InvalidInput, match="num_inference_steps=5, not 4"):
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / 4, 4))
    with pytest.raises(InvalidInput, match="has its own times"):
        scheduler.set_timesteps(sigmas=[1.0, 0.9, 0.5, 0.2, 0.1])


@pytest.mark.parametrize("schedule", [SCHEDULE, fitted(), solvers.named("ddim").schedule(VPLinear(), 3)])
def test_it_is_saved_and_loaded(tmp_path, schedule: Schedule) -> None:
    """The config file carries the schedule, numbers and all, and what the network predicts."""
    scheduler = FewstepScheduler.from_schedule(schedule, "v_prediction", time_scale=2.0, num_train_timesteps=77)
    scheduler.save_pretrained(tmp_path)
    for other in (FewstepScheduler.from_pretrained(tmp_path), FewstepScheduler.from_config(scheduler.config)):
        assert other.schedule == schedule
        assert compile(other.schedule) == compile(schedule)
        assert other.config.prediction_type == "v_prediction"
        assert other.config.num_train_timesteps == 77
        assert torch.equal(other.timesteps, scheduler.timesteps)
    written = json.loads((tmp_path / "scheduler_config.json").read_text())
    assert Schedule.from_dict(written[STORED]["schedule"]) == schedule


def test_an_edited_config_is_refused(tmp_path) -> None:
    """The schedule's digests guard it here too."""
    FewstepScheduler.from_schedule(SCHEDULE).save_pretrained(tmp_path)
    path = tmp_path / "scheduler_config.json"
    written = json.loads(path.read_text())
    written[STORED]["schedule"]["tableau"]["outputs"][0][0] += 0.1
    path.write_text(json.dumps(written))
    with pytest.raises(InvalidSchedule, match="digest"):
        FewstepScheduler.from_pretrained(tmp_path)


def test_what_cannot_be_known_must_be_said() -> None:
    """Networks on continuous laws differ in units and prediction; nothing is guessed."""
    schedule = solvers.named("ddim").schedule(Cosine(), 3)
    for given in ({}, {"prediction_type": "epsilon"}, {"time_scale": 1000.0}):
        with pytest.raises(InvalidInput, match=r"pass prediction_type .* and time_scale"):
            FewstepScheduler.from_schedule(schedule, **given)
    assert FewstepScheduler.from_schedule(schedule, "epsilon", 1000.0).timesteps[0] == pytest.approx(994.6)
    with pytest.raises(UnknownName, match="prediction_type 'noise'; known: epsilon, sample"):
        FewstepScheduler.from_schedule(SCHEDULE, "noise")


def test_an_epsilon_prediction_cannot_start_from_pure_noise() -> None:
    """At α = 0 it says nothing about the data; a velocity does."""
    schedule = solvers.named("ddim").schedule(Cosine(t_max=1.0), 3, "time")
    with pytest.raises(InvalidInput, match="says nothing about the data at alpha = 0"):
        FewstepScheduler.from_schedule(schedule, "epsilon", 1000.0)
    scheduler = FewstepScheduler.from_schedule(schedule, "v_prediction", 1000.0)
    velocity = noise(2, 3)
    got = scheduler.step(velocity, scheduler.timesteps[0], noise(2, 3)).prev_sample
    alpha, sigma = (float(of(schedule.times[1])) for of in (schedule.process.alpha, schedule.process.sigma))
    torch.testing.assert_close(got, -alpha * velocity + sigma * noise(2, 3), rtol=1e-9, atol=1e-9)
