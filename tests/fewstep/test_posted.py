"""Lists that people post become times of a process, and any solver goes over them."""

from collections.abc import Sequence

import numpy as np
import pytest
from diffusers import EulerDiscreteScheduler

from fewstep import grids, solvers
from fewstep.diffusers.importer import from_diffusers
from fewstep.errors import InvalidInput
from fewstep.models import scheduler_config
from fewstep.processes import VE, Discrete, Flow, Process, VPLinear

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")  # diffusers'

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
TABLE = scheduler_config.table("EulerDiscreteScheduler", SD)
AYS = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.0)


@pytest.mark.parametrize(
    ("process", "sigmas"),
    [(TABLE, AYS), (VPLinear(), (100.0, 5.0, 0.5)), (VE(), (80.0, 2.0, 0.0)), (Flow(shift=3.0), (1.0, 0.6, 0.1, 0.0))],
)
def test_sigmas_are_noise_levels(process: Process, sigmas: Sequence[float]) -> None:
    """Their times have these levels; a first one near the largest is t_max, and zero is clean data."""
    times = np.array(grids.posted_sigmas(process, sigmas))
    np.testing.assert_allclose(process.sampler_sigma(times)[1:], sigmas[1:], rtol=1e-9, atol=1e-12)
    assert times[0] == process.t_max or not np.isclose(sigmas[0], process.sampler_sigma(process.t_max), rtol=2e-3)
    assert sigmas[-1] > 0 or times[-1] == process.t_zero


def test_a_posted_list_is_what_diffusers_runs() -> None:
    """Euler's steps on the list are those of the scheduler that takes it."""
    ours = solvers.named("euler").on(TABLE, grids.posted_sigmas(TABLE, AYS))
    theirs = from_diffusers(EulerDiscreteScheduler(**SD), sigmas=AYS)
    np.testing.assert_allclose(ours.times, theirs.times, atol=1e-2)
    assert ours.nfe == theirs.nfe == 10


def test_time_steps_are_what_networks_are_told() -> None:
    """Indices of a table as they are, 1000·σ of a flow; clean data comes after the last."""
    assert grids.posted_timesteps(TABLE, [999, 749, 499, 249]) == (999.0, 749.0, 499.0, 249.0, -1.0)
    flow = Flow(shift=3.0)
    times = np.array(grids.posted_timesteps(flow, [1000, 750, 250]))
    np.testing.assert_allclose(1000 * flow.sigma(times), [1000, 750, 250, 0])


@pytest.mark.parametrize("name", ["heun", "dpm-2s", "dpmpp-3s", "s-pndm", "dpmpp-2m", "flow-heun"])
def test_a_stride_goes_from_one_time_to_the_next(name: str) -> None:
    """All times of the list are states of the schedule, whatever calls there are between."""
    process = Flow() if name.startswith("flow") else VPLinear()
    times = (1.0, 0.7, 0.5, 0.3, 0.1)
    schedule = solvers.named(name).on(process, times)
    assert set(times) <= set(schedule.times)
    assert schedule.nfe >= 4
    assert (schedule.times[0], schedule.times[-1]) == (1.0, 0.1)


@pytest.mark.parametrize(
    ("process", "sigmas", "words"),
    [
        (TABLE, [700.0, 1.0, 0.0], "the first sigma, 700, is larger than any"),
        (Flow(), [14.6, 1.0, 0.0], "the first sigma, 14.6, is larger than any of this flow process, 1"),
        (TABLE, [3.0, 3.0, 0.0], "falling numbers"),
        (TABLE, [3.0], "2 or more falling numbers"),
        (TABLE, [3.0, -1.0], "end at 0 or above"),
    ],
)
def test_wrong_lists_are_refused(process: Process, sigmas: Sequence[float], words: str) -> None:
    """The message says what is wrong with them."""
    with pytest.raises(InvalidInput, match=words):
        grids.posted_sigmas(process, sigmas)


def test_wrong_time_steps_and_times_are_refused() -> None:
    """Beyond the process, and no list at all."""
    with pytest.raises(InvalidInput, match="lie above -1 and up to 999, got 1100 to 5"):
        grids.posted_timesteps(TABLE, [1100, 5])
    with pytest.raises(InvalidInput, match="two or more times"):
        solvers.named("euler").on(VPLinear(), (1.0,))
    with pytest.raises(InvalidInput, match="made for the process 'flow'"):
        solvers.named("flow-euler").on(Discrete((0.9, 0.5)), (1.0, 0.0))
