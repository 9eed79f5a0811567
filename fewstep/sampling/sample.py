"""The sampling loop: one network call, then one short sum of stored tensors (`fewstep.sampling.plan`)."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import repeat

import torch

from fewstep.errors import InvalidInput, InvalidModel
from fewstep.models.base import Denoiser, check_denoiser, data_weights, unwrap
from fewstep.processes import Process
from fewstep.sampling import guidance, plan, shifted_start
from fewstep.sampling.history import History
from fewstep.schedule import Schedule, compile
from fewstep.tableau import Tableau
from fewstep.timeshift import ShiftedDenoiser

__all__ = ["Generators", "sample", "states"]

Call = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Generators = torch.Generator | Sequence[torch.Generator]


def states(
    denoiser: Denoiser,
    schedule: Schedule | Tableau,
    noise: torch.Tensor,
    generator: Generators | None = None,
    fresh: torch.Tensor | None = None,
) -> Iterator[torch.Tensor]:
    """Yield the states y_0, …, y_N, each (B, ...), float32 or better; one network call between two states.

    ``noise`` is (B, ...) standard normal. Stochastic schedules take their fresh noise from ``generator``, one for the
    batch or one for each sample (then samples do not depend on the batch), or as ``fresh`` (K, B, ...), the tableau's
    z_0 … z_{K−1}. Guidance is set call by call where the schedule or tableau has scales; a schedule's time shift is
    applied, a bare tableau has none.

    Raises, once iterated, `InvalidInput` where noise is not floating point, not batched or missing, where the denoiser
    lacks a member of `fewstep.models.Denoiser` or the guidance that the schedule sets, where it is for another
    process than the denoiser's, or where a network that predicts noise is called at α = 0; `InvalidModel` where the
    denoiser returns another shape than its input.

    >>> import torch
    >>> from fewstep import models, processes, solvers
    >>> gaussian = models.Gaussian(processes.VPLinear(), mean=torch.zeros(2), covariance=torch.eye(2))
    >>> schedule = solvers.named("ddim").schedule(gaussian.process, nfe=4)
    >>> len(list(states(gaussian, schedule, torch.ones(3, 2))))
    5
    """
    check_denoiser(denoiser)
    if not noise.is_floating_point() or noise.ndim < 2:
        raise InvalidInput(f"noise is a float tensor (batch, ...), got {noise.dtype} of shape {tuple(noise.shape)}")
    if isinstance(schedule, Schedule) and schedule.process != denoiser.process:
        raise InvalidInput(
            f"the schedule was made for {schedule.process}, but the model's process is {denoiser.process}"
        )
    tableau = schedule if isinstance(schedule, Tableau) else compile(schedule)
    shift = None if isinstance(schedule, Tableau) else schedule.shift
    state = denoiser.process.prior_std * noise.to(torch.promote_types(noise.dtype, torch.float32))
    each = guidance.denoisers(denoiser, tableau)
    network, prediction = unwrap(denoiser)
    updates = _updates(tableau, denoiser.process, prediction)
    networks: Iterator[Call] = repeat(network)
    if shift is not None or tableau.guidance is not None:
        updates = plan.make(tableau)
        networks = iter(each)
    if shift is not None and shift.mode == "network":
        networks = iter([ShiftedDenoiser(one, shift) for one in each])

    def call(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        output = next(networks)(x, t)
        if output.shape != x.shape:
            raise InvalidModel(f"the denoiser made {tuple(output.shape)} of states {tuple(x.shape)}: wanted the same")
        return output

    source = _source(tableau.noise.shape[1], state, generator, fresh)
    yield state
    if isinstance(schedule, Schedule) and shift is not None and shift.mode == "start":
        yield from shifted_start.states(call, schedule, state, source)
        return
    history = History()
    order = iter([k for update in updates for _, k in update.fresh])
    for update, time in zip(updates, tableau.network_times.tolist(), strict=True):
        output = call(state, state.new_full((len(state),), time))
        state = history.advance(update, state, output, lambda: source(next(order)))
        yield state


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    schedule: Schedule | Tableau,
    noise: torch.Tensor,
    generator: Generators | None = None,
    fresh: torch.Tensor | None = None,
) -> torch.Tensor:
    """Samples (B, ...) from standard normal ``noise`` (B, ...): the last of `states`, with the same arguments.

    >>> import torch
    >>> from fewstep import models, processes, solvers
    >>> process = processes.VPLinear()
    >>> gaussian = models.Gaussian(process, mean=torch.zeros(2), covariance=torch.eye(2))
    >>> sample(gaussian, solvers.named("ddim").schedule(process, nfe=4), torch.ones(3, 2)).shape
    torch.Size([3, 2])
    >>> seeds = [torch.Generator().manual_seed(seed) for seed in (1, 2, 3)]
    >>> sample(gaussian, solvers.named("ddpm").schedule(process, nfe=4), torch.ones(3, 2), generator=seeds).shape
    torch.Size([3, 2])
    """
    return deque(states(denoiser, schedule, noise, generator, fresh), maxlen=1).pop()


@lru_cache(maxsize=64)
def _updates(tableau: Tableau, process: Process, prediction: str) -> list[plan.Update]:
    return plan.make(tableau, *data_weights(prediction, process, tableau.network_times))


def _source(
    count: int, state: torch.Tensor, generator: Generators | None, fresh: torch.Tensor | None
) -> Callable[[int], torch.Tensor]:
    """``source(k)`` is z_k, shaped as the state; called in the order of first use."""
    if fresh is not None:
        if fresh.shape != (count, *state.shape):
            raise InvalidInput(f"fresh is z_0 … of shape {(count, *state.shape)} here, got {tuple(fresh.shape)}")
        noises = fresh.to(state)
        return lambda k: noises[k]
    if generator is None:
        if count:
            raise InvalidInput(
                f"this schedule adds fresh noise {count} times: pass a generator, one for each sample, or fresh "
                f"{(count, *state.shape)}; or use a deterministic schedule"
            )
        return lambda k: torch.zeros_like(state)
    if isinstance(generator, torch.Generator):
        return lambda k: _draw(state.shape, generator, state)
    if len(generator) != len(state):
        raise InvalidInput(f"generator is one for the batch or {len(state)}, one for each sample; got {len(generator)}")
    each = list(generator)
    return lambda k: torch.cat([_draw((1, *state.shape[1:]), one, state) for one in each])


def _draw(shape: Sequence[int], generator: torch.Generator, like: torch.Tensor) -> torch.Tensor:
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=generator.device).to(like.device)
