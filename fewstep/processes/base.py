"""What a noise law offers, and what all variance-preserving ones share."""

from collections.abc import Sequence
from dataclasses import fields
from types import ModuleType
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch

from fewstep.checks import number
from fewstep.errors import InvalidInput

__all__ = ["Number", "Process", "VariancePreserving", "check_range", "make_floats", "xp_of"]

Number = TypeVar("Number", float, np.ndarray, torch.Tensor)


@runtime_checkable
class Process(Protocol):
    """A noise law. Values are frozen, hashable and comparable."""

    kind: ClassVar[str]

    @property
    def t_zero(self) -> float: ...
    @property
    def t_min(self) -> float: ...
    @property
    def t_max(self) -> float: ...
    @property
    def prior_std(self) -> float: ...
    @property
    def knots(self) -> Sequence[float]: ...
    def alpha(self, t: Number) -> Number: ...
    def sigma(self, t: Number) -> Number: ...
    def log_snr(self, t: Number) -> Number: ...
    def time(self, lam: Number) -> Number: ...
    def __hash__(self) -> int: ...


def xp_of(value: Any) -> Any:
    """The module whose functions fit ``value``: torch for tensors, NumPy for the rest."""
    module: ModuleType = torch if isinstance(value, torch.Tensor) else np
    return module


class VariancePreserving:
    """α² + σ² = 1, so that everything follows from log α."""

    prior_std: ClassVar[float] = 1.0
    knots: ClassVar[Sequence[float]] = ()

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
        xp, log_alpha = xp_of(t), self._log_alpha(t)
        with np.errstate(divide="ignore"):
            return log_alpha - 0.5 * xp.log(-xp.expm1(2 * log_alpha))  # type: ignore[no-any-return]

    def time(self, lam: Number) -> Number:
        """The time whose log-SNR is ``lam``; same shape."""
        xp = xp_of(lam)
        zero = torch.zeros_like(lam) if isinstance(lam, torch.Tensor) else 0.0
        time: Number = self._time(-0.5 * xp.logaddexp(zero, -2 * lam))
        return time


def make_floats(process: Any) -> None:
    """Parameters of equal value are to be equal in every form: 20 becomes 20.0."""
    for field in fields(process):
        object.__setattr__(process, field.name, number(f"{process.kind} {field.name}", getattr(process, field.name)))


def check_range(process: Process) -> None:
    """Raises `InvalidInput` where t_min and t_max do not lie in order at or above t_zero."""
    if not process.t_zero <= process.t_min < process.t_max:
        raise InvalidInput(
            f"{process.kind} wants {process.t_zero} <= t_min < t_max, got {process.t_min} and {process.t_max}"
        )
