"""A scheduler that ends a pipeline's run at its first step: what the network was given and what it made are known then.

The probe is of the pipeline's own scheduler class, since pipelines look at the class and at the config. It gives out
one time, the same for every step, and adds no noise.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

__all__ = ["FixedTimes", "Output", "RunEnd", "StepCall", "probing"]

Scale = Callable[[torch.Tensor], torch.Tensor]


class RunEnd(BaseException):
    """The scheduler's step was reached. No pipeline catches it, as it is no `Exception`."""


@dataclass(frozen=True)
class FixedTimes:
    """What the pipeline finds in its scheduler: ``timesteps`` (n,), ``sigmas`` (n + 1,), and how states are scaled."""

    timesteps: torch.Tensor
    sigmas: torch.Tensor
    scale: Scale


@dataclass
class StepCall:
    """What the pipeline passed on: to the step, its ``output`` and ``sample`` (B, ...), or its own data prediction,
    ``data`` (B, ...); to `set_timesteps`, the ``request`` for times, with ``mu``, the shift by image size.
    """

    output: torch.Tensor | None = None
    sample: torch.Tensor | None = None
    data: torch.Tensor | None = None
    request: Mapping[str, Any] = field(default_factory=dict)


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
            raise RunEnd
        return value


@dataclass
class _Run:
    times: FixedTimes | None = None
    final: torch.Tensor | None = None
    call: StepCall = field(default_factory=StepCall)


def probing(scheduler: Any) -> Any:
    """A probe in the place of ``scheduler``, which stays as it is: set ``probe.run.times``, read ``probe.run.call``.

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
        self.run.call.request = {name: value for name, value in asked.items() if value is not None}

    def step(self: Any, model_output: torch.Tensor, *args: Any, **kwargs: Any) -> Output:
        states = [each for each in (kwargs.get("sample"), *args) if isinstance(each, torch.Tensor) and each.ndim > 1]
        call = self.run.call
        call.output, call.sample, call.data = model_output, states[-1], kwargs.get("pred_original_sample")
        final = None if self.run.final is None else self.run.final.to(states[-1])
        if call.data is None and hasattr(self, "precondition_outputs"):
            sigma = self.run.times.sigmas[0].to(states[-1])
            return Output(self.precondition_outputs(states[-1], model_output, sigma), final)
        if final is None:
            raise RunEnd
        return Output(None, final)

    constant = property(lambda self: 1.0, lambda self, value: None)
    members = {
        "order": 1,
        "init_noise_sigma": constant,
        "timesteps": property(lambda self: self.run.times.timesteps, lambda self, value: None),
        "sigmas": property(lambda self: self.run.times.sigmas, lambda self, value: None),
        "set_timesteps": set_timesteps,
        "scale_model_input": lambda self, sample, timestep=None: self.run.times.scale(sample),
        "add_noise": lambda self, sample, noise, timestep: noise,
        "scale_noise": lambda self, sample, timestep, noise: noise,
        "step": step,
    }
    probe = copy.copy(scheduler)
    probe.__class__ = type("Probe", (own,), members)
    vars(probe).update(run=_Run(), _step_index=0, _begin_index=0)
    return probe
