"""The protocol of noise processes, and the base of all variance-preserving ones."""

import sys
from collections.abc import Sequence
from dataclasses import fields
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np

from fewstep.checks import number
from fewstep.errors import InvalidInput

if TYPE_CHECKING:
    import torch

__all__ = ["Number", "Process", "VariancePreserving", "check_range", "is_tensor", "make_floats", "xp_of", "zero_like"]

Number = TypeVar("Number", float, np.ndarray, "torch.Tensor")


@runtime_checkable
class Process(Protocol):
    """A noise process, and the facts that follow from its kind. Values are frozen dataclasses of plain numbers.

    A new process derives from this class: it defines ``kind``, its times and the formulas, and overrides the defaults
    of these facts where they do not hold.

    | fact | default | meaning |
    |---|---|---|
    | ``prior_std`` | 1 | standard deviation of the start state |
    | ``knots`` | none | times between which α and σ are smooth |
    | ``network_time`` | t | the time as networks take it, before their time scale |
    | ``default_prediction``, ``default_time_scale`` | None | prediction and time scale of networks, where all agree |
    | ``whole_times`` | False | networks are trained at the knots alone |
    | ``times_are_levels`` | False | t is a noise level, over decades |
    | ``sampler_state`` | "scaled" | samplers of k-diffusion keep x_t/α at level σ/α; "plain": x_t itself at level σ |
    """

    kind: ClassVar[str]
    default_prediction: ClassVar[str | None] = None
    default_time_scale: ClassVar[float | None] = None
    whole_times: ClassVar[bool] = False
    sampler_state: ClassVar[str] = "scaled"

    @property
    def t_zero(self) -> float: ...
    @property
    def t_min(self) -> float: ...
    @property
    def t_max(self) -> float: ...
    def alpha(self, t: Number) -> Number: ...
    def sigma(self, t: Number) -> Number: ...
    def log_snr(self, t: Number) -> Number: ...
    def time(self, lam: Number) -> Number: ...
    def __hash__(self) -> int:
        return object.__hash__(self)

    @property
    def prior_std(self) -> float:
        """Standard deviation of the start state's noise, at t_max."""
        return 1.0

    @property
    def knots(self) -> Sequence[float]:
        """Times where α or σ has a corner; none where both are smooth."""
        return ()

    @property
    def times_are_levels(self) -> bool:
        """Whether times are noise levels, spread over decades."""
        return False

    def network_time(self, t: Number) -> Number:
        """``t`` as networks take it, before their time scale; same shape."""
        return t

    def time_of_network(self, value: Number) -> Number:
        """The time whose `network_time` is ``value``; same shape."""
        return value

    def sampler_sigma(self, t: Number) -> Number:
        """The noise level of ``t`` as samplers of k-diffusion, ComfyUI and diffusers count it; same shape.

        Infinite where the sampler's state is scaled and α = 0.
        """
        if self.sampler_state == "plain":
            return self.sigma(t)
        with np.errstate(divide="ignore"):
            return self.sigma(t) / self.alpha(t)  # type: ignore[no-any-return]

    def sampler_scale(self, t: Number) -> Number:
        """Factor that turns the state of such a sampler into x_t; same shape."""
        return self.alpha(t) if self.sampler_state == "scaled" else 0.0 * t + 1.0


def is_tensor(value: Any) -> bool:
    """Whether ``value`` is a torch tensor; torch is not imported for it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def xp_of(value: Any) -> Any:
    """The array module of ``value``: torch for tensors, NumPy for the rest."""
    module: ModuleType = sys.modules["torch"] if is_tensor(value) else np
    return module


def zero_like(value: Any) -> Any:
    """Zero of the type of ``value``: torch wants a tensor where NumPy takes a number."""
    return xp_of(value).zeros_like(value) if is_tensor(value) else 0.0


class VariancePreserving(Process):
    """Base of processes with α² + σ² = 1, which follow from log α alone."""

    def _log_alpha(self, t: Any) -> Any:
        raise NotImplementedError

    def _time(self, log_alpha: Any) -> Any:
        raise NotImplementedError

    def alpha(self, t: Number) -> Number:
        """α(t), same shape as ``t``."""
        return xp_of(t).exp(self._log_alpha(t))  # type: ignore[no-any-return]

    def sigma(self, t: Number) -> Number:
        """σ(t) = √(1 − α²), same shape as ``t``."""
        return xp_of(t).sqrt(-xp_of(t).expm1(2 * self._log_alpha(t)))  # type: ignore[no-any-return]

    def log_snr(self, t: Number) -> Number:
        """λ(t) = log(α/σ), same shape as ``t``; +∞ at ``t_zero``."""
        xp = xp_of(t)
        log_alpha = self._log_alpha(t)
        with np.errstate(divide="ignore"):
            return log_alpha - 0.5 * xp.log(-xp.expm1(2 * log_alpha))  # type: ignore[no-any-return]

    def time(self, lam: Number) -> Number:
        """The time whose log-SNR is ``lam``; same shape."""
        xp = xp_of(lam)
        time: Number = self._time(-0.5 * xp.logaddexp(zero_like(lam), -2 * lam))
        return time


def make_floats(process: Any) -> None:
    """Turns the parameters of a process into floats, so that 20 and 20.0 make equal processes and digests."""
    for field in fields(process):
        object.__setattr__(process, field.name, number(f"{process.kind} {field.name}", getattr(process, field.name)))


def check_range(process: Process) -> None:
    """Raises `InvalidInput` where t_min and t_max do not lie in order at or above t_zero."""
    if not process.t_zero <= process.t_min < process.t_max:
        raise InvalidInput(
            f"{process.kind} wants {process.t_zero} <= t_min < t_max, got {process.t_min} and {process.t_max}"
        )
