"""The sampling loop: apply a tableau's rows to the network's outputs. Nothing else happens here."""

from collections import deque
from collections.abc import Iterator

import torch

from fewstep.errors import InvalidInput, InvalidModel
from fewstep.models.base import Denoiser
from fewstep.schedule import Schedule
from fewstep.tableau import Tableau, compile

__all__ = ["sample", "states"]


def states(denoiser: Denoiser, schedule: Schedule | Tableau, noise: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the states y_0, …, y_N, each (B, ...), float32 or better; one network call between two states.

    ``noise`` is (B, ...) standard normal. Raises, once iterated, `InvalidInput` where it is not floating point or not
    batched, or where the schedule was made for another process than the denoiser's; `InvalidModel` where the denoiser
    returns another shape than it was given.

    >>> import torch
    >>> from fewstep import models, processes, solvers
    >>> gaussian = models.Gaussian(processes.VPLinear(), mean=torch.zeros(2), covariance=torch.eye(2))
    >>> schedule = solvers.named("ddim").schedule(gaussian.process, nfe=4)
    >>> len(list(states(gaussian, schedule, torch.ones(3, 2))))
    5
    """
    if not noise.is_floating_point() or noise.ndim < 2:
        raise InvalidInput(f"noise is a float tensor (batch, ...), got {noise.dtype} of shape {tuple(noise.shape)}")
    if isinstance(schedule, Schedule) and schedule.process != denoiser.process:
        raise InvalidInput(
            f"the schedule was made for {schedule.process}, but the model's process is {denoiser.process}"
        )
    tableau = schedule if isinstance(schedule, Tableau) else compile(schedule)
    if tableau.noise.shape[1]:
        raise InvalidInput("this tableau adds fresh noise, which this loop does not draw: use a deterministic schedule")
    start = denoiser.process.prior_std * noise.to(torch.promote_types(noise.dtype, torch.float32))
    outputs: list[torch.Tensor] = []
    state = start
    yield state
    for i in range(tableau.calls):
        times = state.new_full((len(state),), float(tableau.network_times[i]))
        output = denoiser(state, times)
        if output.shape != state.shape:
            raise InvalidModel(
                f"the denoiser made {tuple(output.shape)} of states {tuple(state.shape)}: wanted the same"
            )
        outputs.append(output.to(state.dtype))
        state = float(tableau.start[i]) * start
        for weight, past in zip(tableau.outputs[i].tolist(), outputs, strict=False):
            state = state.add_(past, alpha=weight)
        yield state


@torch.no_grad()
def sample(denoiser: Denoiser, schedule: Schedule | Tableau, noise: torch.Tensor) -> torch.Tensor:
    """Samples (B, ...) from standard normal ``noise`` (B, ...): the last of `states`.

    >>> import torch
    >>> from fewstep import models, processes, solvers
    >>> process = processes.VPLinear()
    >>> gaussian = models.Gaussian(process, mean=torch.zeros(2), covariance=torch.eye(2))
    >>> sample(gaussian, solvers.named("ddim").schedule(process, nfe=4), torch.ones(3, 2)).shape
    torch.Size([3, 2])
    """
    return deque(states(denoiser, schedule, noise), maxlen=1).pop()
