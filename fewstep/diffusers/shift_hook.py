"""Time shift in diffusers pipelines: hooks on the network, for a scheduler never sees what the network is told.

    pipe.scheduler = FewstepScheduler.from_schedule(schedule)
    attach(pipe.unet, pipe.scheduler)

Before each call the time becomes the one that fits the state, for each sample; after it, the output is turned into the
one that means the same data at the scheduler's own time: D = p_s·x + q_s·F = p_t·x + q_t·F'.
"""

from typing import Any

import torch

from fewstep.diffusers.scheduler import NARROW, FewstepScheduler
from fewstep.errors import InvalidInput
from fewstep.models.base import per_sample
from fewstep.models.predictions import DIFFUSERS, PREDICTIONS

__all__ = ["Attachment", "attach"]

STATES, TIMES = ("sample", "hidden_states"), ("timestep",)  # diffusers' names of a network's first two arguments


class Attachment:
    """A network's hooks that shift its times; see `attach`. ``remove()`` takes them off."""

    def __init__(self, network: torch.nn.Module, scheduler: FewstepScheduler) -> None:
        self._scheduler, self._shift, self._process = scheduler, scheduler.schedule.shift, scheduler.schedule.process
        self._scale, self._predicts = (
            float(scheduler.config["time_scale"]),
            DIFFUSERS[scheduler.config["prediction_type"]],
        )
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
        given = dict(zip(("x", "t"), args, strict=False))
        given |= {key: kwargs[name] for key, names in (("x", STATES), ("t", TIMES)) for name in names if name in kwargs}
        if not {"x", "t"} <= set(given):
            raise InvalidInput(f"time shift wants a network called as network({STATES[0]}, {TIMES[0]}, ...)")
        x, told = given["x"], self._told(given["t"], given["x"])
        t = self._times(told)
        shifted = self._shift.network_times(self._process, x, t)  # type: ignore[union-attr]
        self._last = x, t, shifted
        new = torch.where(shifted == t, told, self._network_times(shifted))
        if len(args) > 1:
            return (args[0], new, *args[2:]), kwargs
        return args, kwargs | {TIMES[0]: new}

    def _after(self, network: Any, args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, torch.Tensor):
            return self._as_at_own_time(output)
        if isinstance(output, tuple):
            return (self._as_at_own_time(output[0]), *output[1:])
        output.sample = self._as_at_own_time(output.sample)
        return output

    def _told(self, timestep: Any, x: torch.Tensor) -> torch.Tensor:
        """The time steps (B,) that the pipeline passes, once they are known to be the scheduler's."""
        told = torch.as_tensor(timestep, device=x.device).to(torch.promote_types(x.dtype, torch.float32)).reshape(-1)
        own = self._scheduler.timesteps.to(told)
        if not bool(((told[:, None] - own).abs().amin(1) <= NARROW * told.abs()).all()):
            raise InvalidInput(
                f"the network is told {told.tolist()[:4]}, but the scheduler's time steps are {own.tolist()}: "
                "pipelines that change them on the way have no time shift"
            )
        return told.expand(len(x))

    def _times(self, told: torch.Tensor) -> torch.Tensor:
        return self._process.time_of_network(told / self._scale)

    def _network_times(self, t: torch.Tensor) -> torch.Tensor:
        return self._scale * self._process.network_time(t)

    def _as_at_own_time(self, output: torch.Tensor) -> torch.Tensor:
        x, t, shifted = self._last
        count = x.shape[1]
        if output.shape[1] not in (count, 2 * count):
            raise InvalidInput(
                f"the network makes {output.shape[1]} channels of {count}: a time shift wants the state alone as input"
            )
        (p, q), (own_p, own_q) = self._reading(shifted, x), self._reading(t, x)
        seen = (q / own_q) * output[:, :count] + ((p - own_p) / own_q) * x
        made = torch.where(per_sample(shifted == t, x), output[:, :count], seen.to(output.dtype))
        return torch.cat([made, output[:, count:]], 1)  # learned variances, where there are any, are left alone

    def _reading(self, t: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """p and q, (B, 1, …, 1), of D = p·x + q·output at times ``t`` (B,)."""
        alpha, sigma = self._process.alpha(t), self._process.sigma(t)
        weights = (PREDICTIONS[self._predicts](*unit, alpha, sigma) for unit in ((0.0, 1.0), (1.0, 0.0)))
        p, q = (per_sample(torch.as_tensor(w, device=x.device).to(t.dtype).expand(len(t)), x) for w in weights)
        return p, q


def attach(network: torch.nn.Module, scheduler: FewstepScheduler) -> Attachment:
    """Shift the times that a pipeline's ``network`` is told as the scheduler's schedule says; `Attachment.remove` ends.

    The pipeline then makes the samples of `fewstep.sample` with that schedule. The network takes the state and the time
    as its first two arguments (or ``sample`` or ``hidden_states``, and ``timestep``), the time in the scheduler's own
    units. Raises `InvalidInput` where the schedule has no time shift; when the pipeline runs, where it rescales the
    time (Flux) or feeds the network more than the state (inpainting).
    """
    if scheduler.schedule.shift is None:
        raise InvalidInput("this scheduler's schedule has no time shift: there is nothing to attach")
    return Attachment(network, scheduler)
