"""Configs that go from our scheduler to diffusers' classes and back: nobody loses the noise law on the way."""

import json
import re
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from fewstep import Schedule, solvers
from fewstep.diffusers import Circumstances, FewstepScheduler, install, read_law, uninstall
from fewstep.errors import InvalidInput
from fewstep.models import scheduler_config
from fewstep.models.scheduler_config import STORED
from fewstep.processes import VE, Cosine, Discrete, Flow

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")  # diffusers'
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
OLD = [
    PNDMScheduler(skip_prk_steps=True, steps_offset=1, **BETAS),
    DDIMScheduler(clip_sample=False, rescale_betas_zero_snr=True, prediction_type="v_prediction", **BETAS),
    EulerDiscreteScheduler(trained_betas=np.linspace(1e-3, 0.2, 40).tolist(), num_train_timesteps=40),
    FlowMatchEulerDiscreteScheduler(shift=3.0),
    FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, max_shift=0.9),
    UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0),
    EDMEulerScheduler(sigma_data=1.0, sigma_max=20.0, prediction_type="v_prediction"),
]
OTHERS = {
    "discrete": [DPMSolverMultistepScheduler, EulerDiscreteScheduler, DDIMScheduler],
    "flow": [FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler],
    "ve": [EDMEulerScheduler, EDMDPMSolverMultistepScheduler],
}


class Pipe:
    """As much of a pipeline as `install` reads."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler

    def __call__(self, num_inference_steps: int = 50, sigmas: Any = None, timesteps: Any = None) -> None: ...


def schedule_on(process: Any, nfe: int = 4) -> Schedule:
    return solvers.named("dpmpp-2m").schedule(process, nfe)


def installed(old: Any) -> Pipe:
    pipe = Pipe(old)
    install(pipe, schedule_on(read_law(pipe).process))
    return pipe


def public(scheduler: Any) -> dict[str, Any]:
    return {key: value for key, value in scheduler.config.items() if not key.startswith("_")}


def law(scheduler: Any) -> Any:
    return scheduler_config.of(scheduler)


@pytest.mark.parametrize("old", OLD, ids=lambda old: type(old).__name__)
def test_the_law_of_the_replaced_scheduler_comes_back(old: Any, tmp_path: Path, caplog: Any) -> None:
    """`X.from_config(pipe.scheduler.config)` is what it was before the schedule came, even over a file.

    What diffusers says about settings that X does not take says nothing of ours.
    """
    pipe = installed(old)
    pipe.scheduler.save_pretrained(tmp_path)
    for other in OTHERS[law(old).process.kind]:
        want = other.from_config(old.config)
        caplog.clear()
        got = other.from_config(pipe.scheduler.config)
        assert {**public(got), **public(want)} == public(got)
        assert law(got) == law(want)
        assert law(other.from_config(FewstepScheduler.from_pretrained(tmp_path).config)) == law(want)
        assert not {STORED, "tableau"} & set(re.findall(r"\w+", caplog.text))
    assert law(type(old).from_config(pipe.scheduler.config)) == law(old)


@pytest.mark.parametrize("old", OLD, ids=lambda old: type(old).__name__)
def test_the_schedule_survives_a_trip_through_another_class(old: Any, tmp_path: Path) -> None:
    """There and back: the same schedule, network and config as before, over a file as well."""
    pipe = installed(old)
    there = type(old).from_config(pipe.scheduler.config)
    there.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "scheduler_config.json").read_text())
    for config in (there.config, written):
        back = FewstepScheduler.from_config(config)
        assert back.schedule == pipe.scheduler.schedule
        assert back.network_spec == pipe.scheduler.network_spec
        assert torch.equal(back.timesteps, pipe.scheduler.timesteps)
        assert back.place.default_steps == 50


@pytest.mark.parametrize("old", OLD, ids=lambda old: type(old).__name__)
def test_what_was_there_is_put_back(old: Any, tmp_path: Path) -> None:
    """The same object; after a reload one of its class and settings; a second schedule changes nothing of that."""
    pipe = installed(old)
    install(pipe, schedule_on(read_law(pipe).process, 6))
    assert pipe.scheduler.schedule.nfe == 6
    pipe.scheduler.save_pretrained(tmp_path)
    uninstall(pipe)
    assert pipe.scheduler is old
    pipe = Pipe(FewstepScheduler.from_pretrained(tmp_path))
    uninstall(pipe)
    assert type(pipe.scheduler) is type(old)
    assert law(pipe.scheduler) == law(old)
    with pytest.raises(InvalidInput, match="nothing is installed"):
        uninstall(pipe)
    pipe.scheduler = FewstepScheduler.from_schedule(schedule_on(Discrete.linear_betas()))
    with pytest.raises(InvalidInput, match="put in by hand"):
        uninstall(pipe)


def test_a_scheduler_of_ones_own_making_says_its_law_too() -> None:
    """Without a pipeline the settings follow from the schedule: a rule of betas, trained betas, a shift, sigmas."""
    table = Discrete(tuple(np.cumprod(1 - np.linspace(1e-3, 0.2, 40)).tolist()))
    stable = Discrete(tuple(PNDMScheduler(**BETAS).alphas_cumprod.tolist()))
    for process, classes in (
        (Discrete.linear_betas(), OTHERS["discrete"]),
        (stable, OTHERS["discrete"]),
        (table, OTHERS["discrete"]),
    ):
        scheduler = FewstepScheduler.from_schedule(schedule_on(process), "v_prediction")
        for other in classes:
            got = other.from_config(scheduler.config)
            np.testing.assert_allclose(got.alphas_cumprod, process.alphas_cumprod, rtol=1e-4)
            assert got.config.prediction_type == "v_prediction"
    assert "trained_betas" not in FewstepScheduler.from_schedule(schedule_on(stable)).config
    flow = FewstepScheduler.from_schedule(schedule_on(Flow(shift=3.0)))
    for other in (FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler, DPMSolverMultistepScheduler):
        assert law(other.from_config(flow.config)) == law(OLD[3])
    edm = FewstepScheduler(schedule_on(VE(0.002, 20.0)), "v_prediction", sigma_data=1.0)
    assert law(EDMEulerScheduler.from_config(edm.config)) == law(OLD[6])
    assert FewstepScheduler.from_config(flow.config).config == flow.config


def test_a_foreign_config_and_a_schedule_make_a_scheduler() -> None:
    """`FewstepScheduler.from_config(pipe.scheduler.config, schedule=...)` reads the network's facts of any class."""
    for old in OLD:
        made = FewstepScheduler.from_config(old.config, schedule=schedule_on(law(old).process))
        assert made.network_spec == law(old)
        again = FewstepScheduler.from_config(made.config)
        assert law(type(old).from_config(again.config)) == law(old)
    with pytest.raises(InvalidInput, match="this config has no schedule"):
        FewstepScheduler.from_config(OLD[0].config)


def test_the_first_format_of_a_saved_scheduler_is_still_read() -> None:
    """It has the values beside each other, without a private entry."""
    schedule = schedule_on(Discrete.linear_betas())
    first = {
        "_class_name": "FewstepScheduler",
        "schedule": schedule.to_dict(),
        "prediction_type": "v_prediction",
        "time_scale": 1.0,
        "num_train_timesteps": 1000,
    }
    scheduler = FewstepScheduler.from_config(first)
    assert (scheduler.schedule, scheduler.config.prediction_type) == (schedule, "v_prediction")
    assert scheduler_config.read(first) == scheduler.network_spec


def test_circumstances_and_arguments_are_saved() -> None:
    """What a schedule was searched at goes with it; keyword arguments of from_config win."""
    pipe = Pipe(OLD[3])
    install(pipe, schedule_on(Flow(shift=3.0)), searched=Circumstances(mu=1.0, shape=(16, 8)), strict=False)
    back = FewstepScheduler.from_config(pipe.scheduler.config, num_train_timesteps=77)
    assert back.place.searched == Circumstances(mu=1.0, shape=(16, 8))
    assert back.place.chosen == ()
    assert len(back) == 77
    assert STORED in back.config
    assert len(str(back.config[STORED])) < 300


def test_every_scheduler_that_is_compatible_exists() -> None:
    """Names of classes are those of the installed diffusers, but for one that wants a package of its own."""
    names = {each.__name__ for each in FewstepScheduler.from_schedule(schedule_on(Flow())).compatibles}
    assert set(FewstepScheduler._compatibles) - names <= {"DPMSolverSDEScheduler"}
    assert all(hasattr(diffusers, name) for name in names - {"FewstepScheduler"})


def test_networks_on_other_processes_say_nothing_of_theirs() -> None:
    """diffusers has no words for a continuous cosine: the config has what was given, and no law."""
    config = FewstepScheduler.from_schedule(schedule_on(Cosine()), "epsilon", 1000.0).config
    assert not {"beta_schedule", "trained_betas", "shift"} & set(config)
