"""Sampling with time shift in mode "start": each sample's step starts from its shifted time.

The coefficients then differ between samples, so this loop computes every step's weights on the way, once for each
distinct sequence of times in the batch. A shifted time stays within a third of the way to its neighbours: outputs keep
their order and never come so close that their differences are noise.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from fewstep.errors import InvalidInput
from fewstep.models.base import per_sample
from fewstep.schedule import Schedule
from fewstep.steps.weights import Levels, Weights, correct, predict

__all__ = ["states"]

MAX_SHIFT = 1 / 3  # of the way to a neighbouring time

Outputs = list[torch.Tensor]


def states(
    denoiser: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    schedule: Schedule,
    state: torch.Tensor,
    fresh: Callable[[int], torch.Tensor],
) -> Iterator[torch.Tensor]:
    """Yield y_1, …, y_N, each (B, ...), of a ``schedule`` with time shift, in mode "start" whatever its own mode.

    ``state`` is y_0 (B, ...) and ``fresh(k)`` the noise z_k, shaped alike. `fewstep.sample` calls this.
    Raises `InvalidInput` where the schedule has no time shift.

    >>> from dataclasses import replace
    >>> from fewstep import models, processes, solvers
    >>> from fewstep.timeshift import TimeShift
    >>> gaussian = models.Gaussian(processes.VPLinear(), torch.zeros(8), 0.25 * torch.eye(8))
    >>> shift = TimeShift(window=0.1, cutoff=0.0, target="calibrated", mode="start", variance=0.25)
    >>> schedule = replace(solvers.named("dpmpp-2m").schedule(gaussian.process, nfe=4), shift=shift)
    >>> len(list(states(gaussian, schedule, torch.ones(2, 8), lambda k: torch.zeros(2, 8))))
    4
    """
    process = schedule.process
    steps = schedule.canonical().steps
    shift = schedule.shift
    if shift is None:
        raise InvalidInput("this schedule has no time shift: fewstep.sample runs it")
    draws = {i: k for k, i in enumerate(i for i, step in enumerate(steps) if step.eta)}
    extra: torch.Tensor | None = None
    nominal = np.array(schedule.times)
    times = np.tile(nominal, (len(state), 1))  # (B, N+1): the times of each sample's states
    inputs = [state]  # states as the network gets them
    starts = [state]  # states as steps start from them: corrected, where there is a corrector
    data: Outputs = []
    noise: Outputs = []
    for i, step in enumerate(steps):
        at = state.new_tensor(times[:, i])
        moved = shift.network_times(process, inputs[i], at, _within(nominal, i))
        times[:, i] = np.where((moved == at).cpu().numpy(), nominal[i], moved.cpu().double().numpy())
        data.append(denoiser(inputs[i], (moved + step.offset).clamp(min(process.t_min, float(at[0])), process.t_max)))
        alpha = per_sample(process.alpha(moved), state)
        sigma = per_sample(process.sigma(moved), state)
        noise.append((inputs[i] - alpha * data[i]) / sigma)
        distinct, which = np.unique(times, axis=0, return_inverse=True)
        levels = [Levels(process, each) for each in distinct]
        pick = torch.from_numpy(which.ravel())
        if i and steps[i - 1].corrector:
            corrected = [correct(each, steps[i - 1], i - 1) for each in levels]
            starts[i] = _sum(corrected, pick, starts[i + steps[i - 1].start], data, noise, extra)
        predicted = [predict(each, step, i) for each in levels]
        extra = fresh(draws[i]) if i in draws else None
        state = _sum(predicted, pick, starts[i + 1 + step.start], data, noise, extra)
        inputs.append(state)
        starts.append(state)
        yield state


def _within(times: np.ndarray, i: int) -> tuple[float, float]:
    """The lowest and the highest shifted time of state ``i``."""
    low = times[i] - MAX_SHIFT * (times[i] - times[i + 1])
    high = times[i] + (MAX_SHIFT * (times[i - 1] - times[i]) if i else 0.0)
    return float(low), float(high)


def _sum(
    weights: Sequence[Weights],
    pick: torch.Tensor,
    start: torch.Tensor,
    data: Outputs,
    noise: Outputs,
    fresh: torch.Tensor | None,
) -> torch.Tensor:
    """The next states (B, ...): sample b takes the weights of ``weights[pick[b]]``."""

    def weight(values: list[float]) -> torch.Tensor:
        return per_sample(start.new_tensor(np.array(values))[pick.to(start.device)], start)

    total = weight([each.state for each in weights]) * start
    for j in sorted({j for each in weights for j in each.data}):
        total = total + weight([each.data.get(j, 0.0) for each in weights]) * data[j]
    for j in sorted({j for each in weights for j in each.noise}):
        total = total + weight([each.noise.get(j, 0.0) for each in weights]) * noise[j]
    return total if fresh is None else total + weight([each.fresh for each in weights]) * fresh
