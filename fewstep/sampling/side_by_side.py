"""Several schedules side by side: the samples of each from the same noise, one network call a step for all of them.

Every schedule keeps its own plan and history, so that its sums are made in the same order as alone; samples differ from
those of `fewstep.sample` by what the network's own arithmetic owes to the size of its batch. All schedules begin at the
same state, so that those which tell the network the same time share its first output: it is computed once.
"""

from collections.abc import Callable, Sequence

import torch

from fewstep.errors import InvalidInput
from fewstep.models.base import Denoiser
from fewstep.sampling import plan
from fewstep.sampling.history import History
from fewstep.schedule import Schedule, compile

__all__ = ["sample_all", "shared_calls", "together"]


def together(schedule: Schedule) -> bool:
    """Whether it can run beside others: no fresh noise, no guidance of its own, no time shift of mode "start".

    >>> from fewstep import processes, solvers
    >>> [together(solvers.named(name).schedule(processes.VPLinear(), nfe=4)) for name in ("ddim", "ddpm")]
    [True, False]
    """
    shift = schedule.shift
    return schedule.guidance is None and (shift is None or shift.mode == "network") and not compile(schedule).noise.size


def shared_calls(schedules: Sequence[Schedule]) -> int:
    """How many calls of one sample `sample_all` makes less than the schedules have: one for each but the first that
    begins by telling the network some time."""
    return len(schedules) - len({compile(schedule).network_times[0] for schedule in schedules})


@torch.no_grad()
def sample_all(
    denoisers: Callable[[int], Denoiser], schedules: Sequence[Schedule], noise: torch.Tensor
) -> list[torch.Tensor]:
    """Samples (B, ...) of each schedule from the same ``noise`` (B, ...).

    ``denoisers(k)`` is the denoiser for k copies of the noise, one after the other, each sample under its condition.
    Raises `InvalidInput` where the schedules differ in their number of calls or cannot run `together`.

    >>> from fewstep import models, processes, solvers
    >>> gaussian = models.Gaussian(processes.VPLinear(), torch.zeros(2), torch.eye(2))
    >>> both = [solvers.named(name).schedule(gaussian.process, nfe=4) for name in ("ddim", "dpmpp-2m")]
    >>> [tuple(samples.shape) for samples in sample_all(lambda copies: gaussian, both, torch.ones(3, 2))]
    [(3, 2), (3, 2)]
    """
    if len({schedule.nfe for schedule in schedules}) != 1 or not all(map(together, schedules)):
        raise InvalidInput(
            f"side by side run schedules of one length without fresh noise or guidance of their own, got "
            f"{[schedule.nfe for schedule in schedules]} calls: run the others by fewstep.sample"
        )
    tableaus = [compile(schedule) for schedule in schedules]
    plans = [plan.make(tableau) for tableau in tableaus]
    denoiser = denoisers(len(schedules))
    if any(schedule.process != denoiser.process for schedule in schedules):
        raise InvalidInput(f"the schedules were made for other processes than the model's, {denoiser.process}")
    start = denoiser.process.prior_std * noise.to(torch.promote_types(noise.dtype, torch.float32))
    histories, states = [History() for _ in schedules], [start] * len(schedules)
    network_times = [tableau.network_times.tolist() for tableau in tableaus]
    for i in range(schedules[0].nfe):
        times = [
            _shifted(schedule, state, state.new_full((len(state),), time[i]))
            for schedule, state, time in zip(schedules, states, network_times, strict=True)
        ]
        if i == 0:
            outputs = _first(denoisers, start, [float(each[0]) for each in network_times])
        else:
            outputs = list(torch.split(denoiser(torch.cat(states), torch.cat(times)), len(noise)))
        states = [
            history.advance(updates[i], state, output)
            for history, updates, state, output in zip(histories, plans, states, outputs, strict=True)
        ]
    return states


def _first(
    denoisers: Callable[[int], Denoiser], start: torch.Tensor, network_times: Sequence[float]
) -> list[torch.Tensor]:
    """The first output (B, ...) of each schedule: once for each time that is told."""
    distinct = list(dict.fromkeys(network_times))
    t = torch.cat([start.new_full((len(start),), time) for time in distinct])
    output = denoisers(len(distinct))(torch.cat([start] * len(distinct)), t)
    by_time = dict(zip(distinct, torch.split(output, len(start)), strict=True))
    return [by_time[time] for time in network_times]


def _shifted(schedule: Schedule, state: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return t if schedule.shift is None else schedule.shift.network_times(schedule.process, state, t)
