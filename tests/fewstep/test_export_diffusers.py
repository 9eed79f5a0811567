"""Sigmas for diffusers' own schedulers: what they make of them is the schedule."""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
)

from fewstep import Schedule, models, sample, solvers
from fewstep.errors import InvalidInput, InvalidSchedule
from fewstep.export import diffusers_sigmas
from fewstep.export.diffusers import _agree
from fewstep.processes import Discrete, Flow, VPLinear

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")  # diffusers'


def noise() -> torch.Tensor:
    return torch.randn(2, 3, generator=torch.Generator().manual_seed(2))


def uneven(process: object, nfe: int) -> tuple[float, ...]:
    """Times that no scheduler would choose by itself."""
    return (1.0, 0.83, 0.61, 0.4, 0.17, 0.0)


def run(scheduler: object, sigmas: np.ndarray, x: torch.Tensor, **arguments: float) -> torch.Tensor:
    """diffusers' own loop with a network that only looks at its input and the time."""
    scheduler.set_timesteps(sigmas=sigmas, **arguments)
    for t in scheduler.timesteps:
        x_in = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(network(x_in, t), t, x).prev_sample
    return x


def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return torch.sin(2 * x + t / 500)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_shift_is_inverted(shift: float) -> None:
    """FlowMatchEuler shifts what it is given; the sigmas it ends up with, and the sample, are the schedule's."""
    law = Flow(shift=1.5)
    schedule = solvers.named("flow-euler").schedule(law, 5, uneven)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    got = run(scheduler, diffusers_sigmas(schedule, scheduler), noise())
    np.testing.assert_allclose(scheduler.sigmas, law.sigma(np.array(schedule.times)), atol=1e-6)
    denoiser = models.from_callable(lambda x, t: network(x, 1000 * law.sigma(t)[:, None]), law, "flow")
    torch.testing.assert_close(got, sample(denoiser, schedule, noise()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["exponential", "linear"])
def test_a_shift_by_size_is_inverted_where_mu_is_known(kind: str) -> None:
    """Flux's own scheduler, and CogView4's, run the schedule with these sigmas at that size."""
    law, mu = Flow(shift=1.5), 1.15
    schedule = solvers.named("flow-euler").schedule(law, 5, uneven)
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, time_shift_type=kind)
    got = run(scheduler, diffusers_sigmas(schedule, scheduler, mu=mu), noise(), mu=mu)
    np.testing.assert_allclose(scheduler.sigmas, law.sigma(np.array(schedule.times)), atol=1e-6)
    denoiser = models.from_callable(lambda x, t: network(x, 1000 * law.sigma(t)[:, None]), law, "flow")
    torch.testing.assert_close(got, sample(denoiser, schedule, noise()), rtol=1e-4, atol=1e-4)


def test_a_terminal_stretch_leaves_schedules_that_end_there() -> None:
    """LTX-Video's shift_terminal changes nothing of a schedule whose last call is at that level; others are refused."""
    schedule = solvers.named("flow-euler").schedule(Flow(shift=3.0), 6, "stretched")
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.1)
    scheduler.set_timesteps(sigmas=diffusers_sigmas(schedule, scheduler, mu=2.05), mu=2.05)
    np.testing.assert_allclose(scheduler.sigmas, Flow(shift=3.0).sigma(np.array(schedule.times)), atol=1e-6)
    with pytest.raises(InvalidSchedule, match=r"shift_terminal\), and the schedule's is 0.17: .*'stretched'"):
        diffusers_sigmas(flow(), scheduler, mu=2.05)


def test_small_levels_are_compared_beside_their_size() -> None:
    """Two schedules that differ below a level of 0.01 only are not the same."""
    tables = [(1.0, 0.5, low, 0.0) for low in (0.004, 0.008)]
    first, second = (solvers.named("flow-euler").on(Flow(), times) for times in tables)
    assert not _agree(*(np.array(schedule.times) for schedule in (first, second)))
    assert _agree(np.array(first.times), np.array(first.times) * 1.001)


def test_mu_without_a_shift_by_size_is_refused() -> None:
    """The message says to leave it out."""
    with pytest.raises(InvalidInput, match="mu goes with use_dynamic_shifting"):
        diffusers_sigmas(flow(), FlowMatchEulerDiscreteScheduler(), mu=1.15)


def test_unipc_with_flow_sigmas() -> None:
    """UniPC's own shift is inverted too, and its order and corrector are the schedule's.

    It tells the network whole time steps only, rounded down, and so does the network here.
    """
    law = Flow(t_max=0.999)  # it moves a first sigma of 1 by itself
    times = (0.999, 0.8303, 0.6107, 0.4003, 0.1704, 0.0)
    schedule = solvers.named("unipc-2-bh2").schedule(law, 5, lambda process, nfe: times, lower_order_final=True)
    settings = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
    scheduler = UniPCMultistepScheduler(**settings)
    got = run(scheduler, diffusers_sigmas(schedule, scheduler), noise())
    denoiser = models.from_callable(lambda x, t: network(x, (1000 * t[:, None]).floor()), law, "flow")
    torch.testing.assert_close(got, sample(denoiser, schedule, noise()), rtol=1e-4, atol=1e-4)
    with pytest.raises(InvalidSchedule, match="rows differ"):
        diffusers_sigmas(schedule, UniPCMultistepScheduler(**settings, solver_order=1))


def test_euler_takes_its_last_sigma_too() -> None:
    """EulerDiscrete wants the final sigma in the list and keeps states as x/α; its table must be the schedule's."""
    scheduler = EulerDiscreteScheduler()
    law = Discrete(scheduler.alphas_cumprod.double().tolist())
    schedule = solvers.named("euler").schedule(law, 4, lambda process, nfe: (999.0, 700.0, 300.0, 40.0, -1.0))
    sigmas = diffusers_sigmas(schedule, scheduler)
    assert sigmas[-1] == 0.0
    got = run(scheduler, sigmas, noise() / law.alpha(999.0))
    denoiser = models.from_callable(lambda x, t: network(x, t[:, None]), law)
    torch.testing.assert_close(got, sample(denoiser, schedule, noise()), rtol=2e-3, atol=2e-3)


def flow() -> Schedule:
    return solvers.named("flow-euler").schedule(Flow(), 5, uneven)


@pytest.mark.parametrize("setting", [{"use_dynamic_shifting": True}, {"use_karras_sigmas": True}])
def test_what_changes_sigmas_otherwise_is_refused(setting: dict) -> None:
    """A shift by a size that was not told, a spacing of its own: the message names the setting, and what to do."""
    with pytest.raises(InvalidInput, match=f"{next(iter(setting))}.*FewstepScheduler"):
        diffusers_sigmas(flow(), FlowMatchEulerDiscreteScheduler(**setting))


def test_schedulers_without_sigmas_are_refused() -> None:
    """Most take none: the message says which do, and what to do instead."""
    for scheduler in (DDIMScheduler(), UniPCMultistepScheduler()):
        with pytest.raises(InvalidInput, match="takes no sigmas with these settings; EulerDiscreteScheduler and"):
            diffusers_sigmas(flow(), scheduler)


def test_the_wrong_kind_of_process_is_refused() -> None:
    """Flow sigmas mean nothing to a table of ᾱ, nor the other way round."""
    with pytest.raises(InvalidSchedule, match="wants sigmas of a table of alphas; this schedule is on flow"):
        diffusers_sigmas(flow(), EulerDiscreteScheduler())
    table = solvers.named("euler").schedule(VPLinear(), 4)
    with pytest.raises(InvalidSchedule, match="wants sigmas of a flow that ends at 0; this schedule is on vp-linear"):
        diffusers_sigmas(table, FlowMatchEulerDiscreteScheduler())


def test_another_method_is_refused() -> None:
    """Euler's scheduler does not run a second-order schedule, whatever its sigmas."""
    second = solvers.named("dpmpp-2m").schedule(Flow(), 5, uneven)
    with pytest.raises(InvalidSchedule, match="runs something else than this schedule: rows differ"):
        diffusers_sigmas(second, FlowMatchEulerDiscreteScheduler())
