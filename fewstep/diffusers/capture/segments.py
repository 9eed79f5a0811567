"""A schedule with a guidance scale for every call, run by a pipeline that takes one scale for its whole run.

The pipeline's own ``__call__`` runs once for each stretch of calls with the same scale: it ends at the last step of the
stretch, and the next run starts from the state that was reached, put in as `fewstep.diffusers.from_pipeline` does. So a
stretch without guidance makes no pass without the prompt, whatever the pipeline. Prompts are encoded once.
"""

import copy
import functools
import inspect
from dataclasses import dataclass, replace
from typing import Any

import torch

from fewstep.diffusers.capture.denoiser import dtype_of
from fewstep.diffusers.capture.entry import Entry
from fewstep.diffusers.capture.from_pipeline import from_pipeline, remembering_view
from fewstep.diffusers.capture.guidance import Guidance
from fewstep.diffusers.capture.memo import Memory
from fewstep.diffusers.capture.probe import Output, RunEnd
from fewstep.diffusers.scheduler import FewstepScheduler
from fewstep.diffusers.signature import call_of
from fewstep.errors import InvalidInput

__all__ = ["Stretch", "attach", "stretches"]


@dataclass(frozen=True)
class Stretch:
    """Calls ``first`` to ``last`` − 1 at one guidance scale."""

    first: int
    last: int
    scale: float


@dataclass(frozen=True)
class _Doors:
    """How states get into a pipeline, and what sets its guidance."""

    entry: Entry
    factor: float
    guidance: Guidance


def stretches(scales: tuple[float, ...]) -> list[Stretch]:
    """The calls of a schedule in stretches of equal guidance.

    >>> [(part.first, part.last) for part in stretches((1.0, 5.0, 5.0, 1.0))]
    [(0, 1), (1, 3), (3, 4)]
    """
    parts = list[Stretch]()
    for i, scale in enumerate(scales):
        if parts and parts[-1].scale == scale:
            parts[-1] = replace(parts[-1], last=i + 1)
        else:
            parts.append(Stretch(i, i + 1, scale))
    return parts


def attach(pipe: Any) -> None:
    """Have ``pipe`` run its installed schedule with its guidance scales; `fewstep.diffusers.uninstall` takes it back.

    The pipeline keeps its class's name; its ``guidance_scale`` argument then has no effect.
    """
    own = type(pipe)

    @functools.wraps(own.__call__)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = inspect.signature(own.__call__).bind(self, *args, **kwargs)
        arguments = {name: value for name, value in bound.arguments.items() if name != "self"}
        with torch.no_grad():
            return _run(self, own, arguments)

    members = {"__call__": call, "__module__": own.__module__, "__doc__": own.__doc__, "guided_class": own}
    pipe.__class__ = type(own.__name__, (own,), members)


class _Part(FewstepScheduler):
    """The installed scheduler over one stretch: the run ends with its last step, unless that is the schedule's last."""

    guided = True
    part: Stretch
    reached: torch.Tensor
    whole: torch.Tensor
    levels: torch.Tensor | None

    @functools.wraps(FewstepScheduler.set_timesteps)  # pipelines look at the names of its arguments
    def set_timesteps(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        if self.part.first == 0:
            super().set_timesteps(*args, **kwargs)
            self.whole, self.levels = self.timesteps, getattr(self, "sigmas", None)
        self.timesteps = self.whole[self.part.first : self.part.last]
        if self.levels is not None:
            self.sigmas = self.levels[self.part.first :]

    @functools.wraps(FewstepScheduler.step)
    def step(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        following = super().step(*args, **kwargs)
        if self._step_index == self.part.last < len(self.whole):
            self.reached = following[0]
            return Output(following[1], None)  # ends the run, unless the pipeline only wants the data prediction
        return following


def _run(pipe: Any, own: type, arguments: dict[str, Any]) -> Any:
    scales = pipe.scheduler.schedule.guidance
    doors = _doors(pipe, own, arguments)
    scheduler = copy.copy(pipe.scheduler)
    scheduler.__class__ = _Part
    memory = Memory()
    view = remembering_view(pipe, memory)
    vars(view)["scheduler"] = scheduler
    for part in stretches(scales):
        scheduler.part = part
        more = {doors.guidance.argument: doors.guidance.value_at(part.scale)}
        try:
            if part.first == 0:
                result = call_of(view)(view, **{**arguments, **more})
            else:
                scheduler.init_noise_sigma = 1.0  # what is put in is a state
                state = (scheduler.reached / doors.factor).to(dtype_of(view))
                with doors.entry.enter(view, state, "run", memory) as entering:
                    result = call_of(view)(view, **{**arguments, **more, **entering})
        except RunEnd:
            continue
        pipe.scheduler.timesteps = scheduler.whole
        return result
    raise InvalidInput(f"{own.__name__} ended before the last of {len(scales)} calls: it takes fewer steps than asked")


DOORS: dict[tuple[type, frozenset[str]], _Doors] = {}  # by class and arguments: weights do not matter


def _doors(pipe: Any, own: type, arguments: dict[str, Any]) -> _Doors:
    """How to put states into this class of pipeline, called like this: found at its first run, by a few calls. Which
    argument sets the guidance depends on the others, as on a negative prompt."""
    unsaid = ("callback_on_step_end", "callback_on_step_end_tensor_inputs", "output_type", "latents", "generator")
    call = {name: value for name, value in arguments.items() if name not in unsaid and value is not None}
    key = own, frozenset(call)
    if key not in DOORS:
        plain = copy.copy(pipe)
        plain.__class__ = own
        denoiser = from_pipeline(plain, check=False, **call)
        if not denoiser.guidance.argument or denoiser.entry is None:
            raise InvalidInput(
                f"this schedule sets a guidance scale at every call, but {own.__name__} runs without guidance here: "
                "pass the guidance (and a negative prompt, where it wants one) that the schedule was searched with"
            )
        DOORS[key] = _Doors(denoiser.entry, denoiser.factor, denoiser.guidance)
    return DOORS[key]
