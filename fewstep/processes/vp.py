"""Variance-preserving processes in continuous time."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.processes.base import VariancePreserving, check_range, make_floats, xp_of

__all__ = ["Cosine", "VPLinear"]

LOG_ALPHA_MIN = -200.0  # α² and e^h must not leave float64's range


@dataclass(frozen=True)
class VPLinear(VariancePreserving):
    """Variance-preserving SDE with linear β(t), t in [0, 1] (Song et al. 2021, eq. 32).

    >>> round(float(VPLinear().log_snr(1.0)), 3)
    -5.025
    """

    kind: ClassVar[str] = "vp-linear"
    beta_min: float = 0.1
    beta_max: float = 20.0
    t_min: float = 1e-3
    t_max: float = 1.0
    t_zero: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        make_floats(self)
        if not 0 < self.beta_min < self.beta_max < math.inf:
            raise InvalidInput(f"vp-linear wants 0 < beta_min < beta_max, got {self.beta_min} and {self.beta_max}")
        check_range(self)
        if self._log_alpha(self.t_max) < LOG_ALPHA_MIN:
            raise InvalidInput(
                f"vp-linear leaves log alpha = {self._log_alpha(self.t_max):.0f} of the data at t_max = {self.t_max}, "
                f"less than float64 can carry ({LOG_ALPHA_MIN}): lower beta_max or t_max"
            )

    def _log_alpha(self, t: Any) -> Any:
        return -0.25 * t * t * (self.beta_max - self.beta_min) - 0.5 * t * self.beta_min

    def _time(self, log_alpha: Any) -> Any:
        # the positive root of the quadratic above, in the form that does not cancel for small |log α|
        root = xp_of(log_alpha).sqrt(self.beta_min**2 - 4 * (self.beta_max - self.beta_min) * log_alpha)
        return -4 * log_alpha / (self.beta_min + root)


@dataclass(frozen=True)
class Cosine(VariancePreserving):
    """Cosine process: α(t) = cos(π/2·(t+s)/(1+s)) / cos(π/2·s/(1+s)) (Nichol and Dhariwal 2021, eq. 17).

    Both ends are exact: α(0) = 1 and α(1) = 0.

    >>> float(Cosine(t_max=1.0).alpha(1.0))
    0.0
    """

    kind: ClassVar[str] = "cosine"
    s: float = 0.008
    t_min: float = 1e-3
    t_max: float = 0.9946
    t_zero: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        make_floats(self)
        if not 0 <= self.s < 1:
            raise InvalidInput(f"cosine wants 0 <= s < 1, got {self.s}")
        check_range(self)
        if self.t_max > 1:
            raise InvalidInput(f"cosine wants t_max <= 1, where alpha is 0, got {self.t_max}")

    @property
    def _scale(self) -> float:
        return math.pi / 2 / (1 + self.s)  # radians per unit of time; the angle at t is scale·(t + s)

    def _log_alpha(self, t: Any) -> Any:
        xp = xp_of(t)
        scale = self._scale
        # with a = scale·t, b = scale·s: α = 1 − (2 sin²(a/2) + tan b sin a) is exact at t = 0, the sine below at t = 1
        drop = 2 * xp.sin(scale * t / 2) ** 2 + math.tan(scale * self.s) * xp.sin(scale * t)
        early = xp.log1p(-xp.clip(drop, None, 0.5))
        with np.errstate(divide="ignore"):
            late = xp.log(xp.sin(scale * (1 - t)) / math.cos(scale * self.s))
        return xp.where(drop < 0.5, early, late)

    def _time(self, log_alpha: Any) -> Any:
        xp = xp_of(log_alpha)
        start = self._scale * self.s
        cosine = math.cos(start) * xp.exp(log_alpha)
        sine = xp.sqrt(math.sin(start) ** 2 - math.cos(start) ** 2 * xp.expm1(2 * log_alpha))  # arccos cancels at t = 0
        return xp.arctan2(sine, cosine) / self._scale - self.s
