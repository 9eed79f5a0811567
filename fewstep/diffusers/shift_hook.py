"""Time shift in diffusers pipelines, by hooks on the network: a scheduler cannot change the network's inputs.

    pipe.scheduler = FewstepScheduler.from_schedule(schedule)
    attach(pipe.unet, pipe.scheduler)

Before each call the time is replaced by the one that fits the state, for each sample; after it, the output is converted
to the one that predicts the same data at the scheduler's time: D = p_s·x + q_s·F = p_t·x + q_t·F'.
"""

from typing import Any

import torch

from fewstep.diffusers.scheduler import TIMESTEP_TOLERANCE, FewstepScheduler
from fewstep.errors import InvalidInput
from fewstep.models.base import per_sample
from fewstep.models.reading import reading

__all__ = ["Attachment", "attach"]

# diffusers' names of a network's first two arguments
STATE_NAMES = ("sample", "hidden_states")
TIME_NAME = "timestep"


class Attachment:
    """A network's hooks that shift its times; see `attach`. ``remove()`` takes them off."""

    def __init__(self, network: torch.nn.Module, scheduler: FewstepScheduler) -> None:
        self._scheduler = scheduler
        self._shift = scheduler.schedule.shift
        self._process = scheduler.schedule.process
        self._reading = reading(scheduler.network_spec)
        self._handles = [
            network.register_forward_pre_hook(self._before, with_kwargs=True),
            network.register_forward_hook(self._after),
        ]
        scheduler.shifted = True

    def remove(self) -> None:
        """Take the hooks off the network; the scheduler then refuses to run a schedule with time shift."""
        for handle in self._handles:
            handle.remove()
        self._scheduler.shifted = False

    def _before(self, network: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        inputs = dict(zip(("x", "t"), args, strict=False))
        for name in STATE_NAMES:
            if name in kwargs:
                inputs["x"] = kwargs[name]
        if TIME_NAME in kwargs:
            inputs["t"] = kwargs[TIME_NAME]
        if not {"x", "t"} <= set(inputs):
            raise InvalidInput(f"time shift wants a network called as network({STATE_NAMES[0]}, {TIME_NAME}, ...)")
        x = inputs["x"]
        timesteps = self._timesteps(inputs["t"], x)
        t = self._reading.time(timesteps)
        shifted = self._shift.network_times(self._process, x, t)  # type: ignore[union-attr]
        self._last = x, t, shifted
        new = torch.where(shifted == t, timesteps, self._reading.inputs(x, shifted)[1])
        if len(args) > 1:
            return (args[0], new, *args[2:]), kwargs
        return args, kwargs | {TIME_NAME: new}

    def _after(self, network: Any, args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, torch.Tensor):
            return self._converted(output)
        if isinstance(output, tuple):
            return (self._converted(output[0]), *output[1:])
        output.sample = self._converted(output.sample)
        return output

    def _timesteps(self, timestep: Any, x: torch.Tensor) -> torch.Tensor:
        """The pipeline's time steps (B,), checked to be the scheduler's."""
        wide = torch.promote_types(x.dtype, torch.float32)
        timesteps = torch.as_tensor(timestep, device=x.device).to(wide).reshape(-1)
        allowed = self._scheduler.timesteps.to(timesteps)
        off = (timesteps[:, None] - allowed).abs().amin(1)
        if not bool((off <= TIMESTEP_TOLERANCE * timesteps.abs()).all()):
            raise InvalidInput(
                f"the network gets {timesteps.tolist()[:4]}, but the scheduler's time steps are {allowed.tolist()}: "
                "pipelines that change them on the way have no time shift"
            )
        return timesteps.expand(len(x))

    def _converted(self, output: torch.Tensor) -> torch.Tensor:
        """The output that predicts the same data at the scheduler's time."""
        x, t, shifted = self._last
        count = x.shape[1]
        if output.shape[1] not in (count, 2 * count):
            raise InvalidInput(
                f"the network makes {output.shape[1]} channels of {count}: a time shift wants the state alone as input"
            )
        p_s, q_s = self._data_weights(shifted, x)
        p_t, q_t = self._data_weights(t, x)
        first = output[:, :count]
        converted = (q_s / q_t) * first + ((p_s - p_t) / q_t) * x
        converted = torch.where(per_sample(shifted == t, x), first, converted.to(output.dtype))
        return torch.cat([converted, output[:, count:]], 1)  # learned variances, where there are any, are left alone

    def _data_weights(self, t: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """p and q, (B, 1, …, 1), of D = p·x + q·output at times ``t`` (B,)."""
        one = per_sample(torch.ones_like(t), x)
        zero = torch.zeros_like(one)
        return self._reading.data(zero, one, t), self._reading.data(one, zero, t)


def attach(network: torch.nn.Module, scheduler: FewstepScheduler) -> Attachment:
    """Apply the time shift of the scheduler's schedule to a pipeline's ``network``, until `Attachment.remove`.

    The pipeline then makes the samples of `fewstep.sample` with that schedule. The network takes the state and the time
    as its first two arguments (or ``sample`` or ``hidden_states``, and ``timestep``), the time in the scheduler's own
    units. Raises `InvalidInput` where the schedule has no time shift or the network is preconditioned; when the
    pipeline runs, where it rescales the time (Flux) or feeds the network more than the state (inpainting).
    """
    if scheduler.schedule.shift is None:
        raise InvalidInput("this scheduler's schedule has no time shift: there is nothing to attach")
    if scheduler.network_spec.preconditioning != "none":
        raise InvalidInput(
            f"a time shift wants a network that takes the state and its time as they are, not preconditioning "
            f"{scheduler.network_spec.preconditioning}: drop the shift"
        )
    return Attachment(network, scheduler)
