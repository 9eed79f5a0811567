"""A scheduler that ends a pipeline's run at its first step: what the network was given and what it made are known then.

The probe is of the pipeline's own scheduler class, since pipelines look at the class and at the config. It gives out
one time, the same for every step, and adds no noise.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

__all__ = ["Given", "Output", "Reached", "Seen", "probing"]

Scale = Callable[[torch.Tensor], torch.Tensor]


class Reached(BaseException):
    """The scheduler's step was reached. No pipeline catches it, as it is no `Exception`."""


@dataclass(frozen=True)
class Given:
    """What the pipeline finds in its scheduler: ``timesteps`` (n,), ``sigmas`` (n + 1,), and how states are scaled."""

    timesteps: torch.Tensor
    sigmas: torch.Tensor
    scale: Scale


@dataclass
class Seen:
    """What the pipeline passed on: to the step, its ``output`` and ``sample`` (B, ...); ``data`` where the pipeline has
    made a data prediction itself; to `set_timesteps`, what it ``asked`` for, as ``mu``, the shift by image size."""

    output: torch.Tensor | None = None
    sample: torch.Tensor | None = None
    data: torch.Tensor | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)


class Output:
    """The result of a step: the ``data`` prediction, for a pipeline that guides it and steps again (Cosmos 1), and the
    ``final`` state, without which the run ends here."""

    def __init__(self, data: torch.Tensor | None, final: torch.Tensor | None) -> None:
        self._data, self._final = data, final

    @property
    def prev_sample(self) -> torch.Tensor:
        """The final state."""
        return self[0]

    @property
    def pred_original_sample(self) -> torch.Tensor:
        """The data prediction."""
        return self[1]

    def __getitem__(self, index: int) -> torch.Tensor:
        value = self._data if index == 1 else self._final
        if value is None:
            raise Reached
        return value


@dataclass
class _Run:
    given: Given | None = None
    final: torch.Tensor | None = None
    seen: Seen = field(default_factory=Seen)


def probing(scheduler: Any) -> Any:
    """A probe in the place of ``scheduler``, which stays as it is: set ``probe.run.given``, read ``probe.run.seen``.

    With ``probe.run.final`` its step leads to that state, and the run goes on to its end.
    """
    own = type(scheduler)

    def set_timesteps(
        self: Any,
        num_inference_steps: int | None = None,
        device: Any = None,
        sigmas: Any = None,
        mu: float | None = None,
        timesteps: Any = None,
        **others: Any,
    ) -> None:
        asked = {"num_inference_steps": num_inference_steps, "timesteps": timesteps, "sigmas": sigmas, "mu": mu}
        self.run.seen.asked = {name: value for name, value in asked.items() if value is not None}

    def step(self: Any, model_output: torch.Tensor, *args: Any, **kwargs: Any) -> Output:
        states = [each for each in (kwargs.get("sample"), *args) if isinstance(each, torch.Tensor) and each.ndim > 1]
        seen = self.run.seen
        seen.output, seen.sample, seen.data = model_output, states[-1], kwargs.get("pred_original_sample")
        final = None if self.run.final is None else self.run.final.to(states[-1])
        if seen.data is None and hasattr(self, "precondition_outputs"):
            sigma = self.run.given.sigmas[0].to(states[-1])
            return Output(self.precondition_outputs(states[-1], model_output, sigma), final)
        if final is None:
            raise Reached
        return Output(None, final)

    constant = property(lambda self: 1.0, lambda self, value: None)
    members = {
        "order": 1,
        "init_noise_sigma": constant,
        "timesteps": property(lambda self: self.run.given.timesteps, lambda self, value: None),
        "sigmas": property(lambda self: self.run.given.sigmas, lambda self, value: None),
        "set_timesteps": set_timesteps,
        "scale_model_input": lambda self, sample, timestep=None: self.run.given.scale(sample),
        "add_noise": lambda self, sample, noise, timestep: noise,
        "scale_noise": lambda self, sample, timestep, noise: noise,
        "step": step,
    }
    probe = copy.copy(scheduler)
    probe.__class__ = type("Probe", (own,), members)
    vars(probe).update(run=_Run(), _step_index=0, _begin_index=0)
    return probe
