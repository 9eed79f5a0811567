"""Sigmas and time steps that pipelines pass by themselves, against the functions of the pipelines that make them."""

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.bria.pipeline_bria import get_original_sigmas
from diffusers.pipelines.cogview4 import pipeline_cogview4
from diffusers.pipelines.ltx import pipeline_ltx_condition
from diffusers.pipelines.mochi import pipeline_mochi
from diffusers.pipelines.z_image.pipeline_z_image import get_default_z_image_sigmas

from fewstep import export, solvers
from fewstep.diffusers import FewstepScheduler, install
from fewstep.diffusers.own_times import RULES, is_own
from fewstep.errors import InvalidInput
from fewstep.processes import Flow
from tests.fewstep.test_scheduler_round_trips import Pipe


class Plain(Pipe):
    """A pipeline that takes no times from its user."""

    def __call__(self, num_inference_steps: int = 50) -> None: ...


SCHEDULE = solvers.named("dpmpp-2m").schedule(Flow(shift=3.0), 5)


def test_each_rule_is_a_pipelines_own() -> None:
    """For any number of steps, the lists of the pipelines' functions."""
    for n in (2, 5, 8, 28, 50):
        bria = get_original_sigmas(num_train_timesteps=1000, num_inference_steps=n)
        np.testing.assert_allclose(RULES["table"](n, 1000), bria, atol=1e-6)
        mochi = pipeline_mochi.linear_quadratic_schedule(n, 0.025)
        np.testing.assert_allclose(RULES["linear_quadratic"](n, 1000), mochi, atol=1e-9)
        np.testing.assert_allclose(mochi, pipeline_ltx_condition.linear_quadratic_schedule(n), atol=1e-6)
        np.testing.assert_allclose(RULES["even"](n, 1000), get_default_z_image_sigmas(n), atol=1e-6)
        cogview = np.linspace(1000, 1.0, n).astype(np.int64).astype(np.float32) / 1000
        np.testing.assert_allclose(RULES["whole"](n, 1000), cogview, atol=1e-6)
        assert all(is_own(rule(n, 1000), 1000) for rule in RULES.values())
    assert RULES["linear_quadratic"](1, 1000).tolist() == [1.0]


def test_pipelines_that_hand_over_their_own_lists_get_the_schedules() -> None:
    """CogView4's retrieve_timesteps, and Mochi's, with the schedule's number of steps and with their own."""
    pipe = Pipe(FlowMatchEulerDiscreteScheduler(shift=3.0))
    scheduler = install(pipe, SCHEDULE)
    want = scheduler.timesteps.clone()
    for n in (5, 50):
        whole = np.linspace(1000, 1.0, n).astype(np.int64).astype(np.float32)
        got = pipeline_cogview4.retrieve_timesteps(scheduler, n, "cpu", whole, whole / 1000, mu=None)
        assert torch.equal(got[0], want)
        assert got[1] == 5
        levels = np.array(pipeline_mochi.linear_quadratic_schedule(n, 0.025))
        assert torch.equal(pipeline_mochi.retrieve_timesteps(scheduler, n, "cpu", None, levels)[0], want)
        steps = pipeline_ltx_condition.linear_quadratic_schedule(n) * 1000
        assert torch.equal(pipeline_ltx_condition.retrieve_timesteps(scheduler, n, "cpu", steps)[0], want)


def test_a_schedules_own_times_may_be_handed_back() -> None:
    """What `export.sigmas` wrote for a pipeline, and the time steps themselves, are no other times."""
    flow = solvers.named("flow-euler").schedule(Flow(shift=3.0), 4)
    scheduler = FewstepScheduler.from_schedule(flow)
    scheduler.set_timesteps(sigmas=list(export.sigmas(flow, "euler")[:-1]))
    scheduler.set_timesteps(sigmas=export.diffusers_sigmas(flow, FlowMatchEulerDiscreteScheduler(shift=3.0)))
    scheduler.set_timesteps(timesteps=scheduler.timesteps)


@pytest.mark.parametrize("what", ["sigmas", "timesteps"])
def test_other_times_are_refused_or_passed_over(what: str) -> None:
    """A user's list is an error; a list of a pipeline that fewstep does not know wants strict=False."""
    values = np.array([1.0, 0.9, 0.5, 0.2, 0.1]) * (1000 if what == "timesteps" else 1)
    pipe = Pipe(FlowMatchEulerDiscreteScheduler(shift=3.0))
    with pytest.raises(InvalidInput, match=f"leave {what} out"):
        install(pipe, SCHEDULE).set_timesteps(**{what: values})
    install(pipe, SCHEDULE, strict=False).set_timesteps(**{what: values})
    install(Plain(pipe.scheduler), SCHEDULE).set_timesteps(**{what: values})  # its user cannot choose any
    with pytest.raises(InvalidInput, match="makes 5 network calls: pass num_inference_steps=5, not 4"):
        pipe.scheduler.set_timesteps(**{what: values[:4]})
