"""The process of flow matching: a straight line from data to noise, its times shifted towards the noise."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.processes.base import Number, Process, check_range, make_floats, xp_of, zero_like

__all__ = ["Flow"]


@dataclass(frozen=True)
class Flow(Process):
    """α = 1 − σ, σ(t) = s·t / (1 + (s − 1)·t) with ``shift`` s, t in [0, 1].

    Source: Lipman et al. 2023; Esser et al. 2024, eq. 23.

    Both ends are exact: clean data at 0, pure noise at 1. Networks of this kind predict the velocity ε − x_0 and
    take σ: with ``shift`` 1 that is the time itself.

    >>> process = Flow(shift=3.0)
    >>> float(process.sigma(0.5)), float(process.alpha(1.0))
    (0.75, 0.0)
    """

    kind: ClassVar[str] = "flow"
    shift: float = 1.0
    t_min: float = 0.0
    t_max: float = 1.0
    t_zero: ClassVar[float] = 0.0
    default_prediction: ClassVar[str | None] = "flow"
    default_time_scale: ClassVar[float | None] = 1000.0
    sampler_state: ClassVar[str] = "plain"

    def __post_init__(self) -> None:
        make_floats(self)
        if not 1e-3 <= self.shift <= 1e3:
            raise InvalidInput(f"flow wants a shift from 0.001 to 1000 (1 for none), got {self.shift}")
        check_range(self)
        if self.t_max > 1:
            raise InvalidInput(f"flow wants t_max <= 1, where alpha is 0, got {self.t_max}")

    def alpha(self, t: Number) -> Number:
        """α(t) = (1 − t) / (1 + (s − 1)·t), same shape as ``t``."""
        return (1.0 - t) / (1.0 + (self.shift - 1.0) * t)

    def sigma(self, t: Number) -> Number:
        """σ(t) = s·t / (1 + (s − 1)·t), same shape as ``t``."""
        return self.shift * t / (1.0 + (self.shift - 1.0) * t)

    def network_time(self, t: Number) -> Number:
        """σ(t): the unshifted time; same shape as ``t``."""
        return self.sigma(t)

    def time_of_network(self, value: Number) -> Number:
        """The time whose σ is ``value``, σ / (s − (s − 1)·σ); same shape."""
        return value / (self.shift - (self.shift - 1.0) * value)

    def log_snr(self, t: Number) -> Number:
        """λ(t) = log((1 − t) / (s·t)), same shape as ``t``; −∞ at 1, +∞ at 0."""
        xp = xp_of(t)
        with np.errstate(divide="ignore"):
            return xp.log1p(-1.0 * t) - xp.log(self.shift * t)  # type: ignore[no-any-return]

    def time(self, lam: Number) -> Number:
        """The time whose log-SNR is ``lam``, 1 / (1 + s·e^λ); same shape."""
        xp = xp_of(lam)
        return xp.exp(-xp.logaddexp(zero_like(lam), lam + math.log(self.shift)))  # type: ignore[no-any-return]
