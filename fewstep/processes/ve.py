"""The variance-exploding process in EDM's form: the data keep their scale, and time is the noise level σ."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fewstep.processes.base import Number, Process, check_range, make_floats, xp_of

__all__ = ["VE"]


@dataclass(frozen=True)
class VE(Process):
    """α = 1 and σ(t) = t, with t from 80 down (Karras et al. 2022, table 1, column EDM).

    Any other variance-exploding process is this one in other units of time. Sampling starts from t_max · noise.

    >>> process = VE()
    >>> float(process.sigma(2.5)), process.prior_std
    (2.5, 80.0)
    """

    kind: ClassVar[str] = "ve"
    t_min: float = 0.002
    t_max: float = 80.0
    t_zero: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        make_floats(self)
        check_range(self)

    @property
    def prior_std(self) -> float:
        """Standard deviation of the start state's noise, at t_max."""
        return self.t_max

    @property
    def times_are_levels(self) -> bool:
        """Whether times go beyond 1, as noise levels of a standard normal prior do not."""
        return self.t_max > 1

    def alpha(self, t: Number) -> Number:
        """1, same shape as ``t``."""
        return 0.0 * t + 1.0

    def sigma(self, t: Number) -> Number:
        """``t`` itself."""
        return 1.0 * t

    def log_snr(self, t: Number) -> Number:
        """λ(t) = −log t, same shape as ``t``; +∞ at 0."""
        with np.errstate(divide="ignore"):
            return -xp_of(t).log(1.0 * t)  # type: ignore[no-any-return]

    def time(self, lam: Number) -> Number:
        """The time whose log-SNR is ``lam``; same shape."""
        return xp_of(lam).exp(-lam)  # type: ignore[no-any-return]
