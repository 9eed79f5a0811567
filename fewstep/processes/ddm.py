"""The process of decoupled diffusion models: the data fade linearly while the noise grows like a Wiener process."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.processes.base import Number, Process, check_range, make_floats, xp_of

__all__ = ["DDM"]


@dataclass(frozen=True)
class DDM(Process):
    """α = 1 − t and σ(t) = √t, t in [0, 1] (Huang et al. 2023, "Decoupled diffusion models", constant h).

    Both ends are exact: clean data at 0, pure noise at 1.

    >>> process = DDM()
    >>> float(process.alpha(0.25)), float(process.sigma(0.25))
    (0.75, 0.5)
    """

    kind: ClassVar[str] = "ddm"
    t_min: float = 0.0
    t_max: float = 1.0
    t_zero: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        make_floats(self)
        check_range(self)
        if self.t_max > 1:
            raise InvalidInput(f"ddm wants t_max <= 1, where alpha is 0, got {self.t_max}")

    def alpha(self, t: Number) -> Number:
        """α(t) = 1 − t, same shape as ``t``."""
        return 1.0 - t

    def sigma(self, t: Number) -> Number:
        """σ(t) = √t, same shape as ``t``."""
        return xp_of(t).sqrt(1.0 * t)  # type: ignore[no-any-return]

    def log_snr(self, t: Number) -> Number:
        """λ(t) = log(1 − t) − ½ log t, same shape as ``t``; −∞ at 1, +∞ at 0."""
        xp = xp_of(t)
        with np.errstate(divide="ignore"):
            return xp.log1p(-1.0 * t) - 0.5 * xp.log(1.0 * t)  # type: ignore[no-any-return]

    def time(self, lam: Number) -> Number:
        """The time whose log-SNR is ``lam``: the root t = 2 / (2 + S + √(S² + 4S)), S = e^{2λ}; same shape."""
        xp = xp_of(lam)
        late = xp.exp(2.0 * xp.clip(lam, None, 0.0))  # S where it is small, 1/S where it is large: neither overflows
        early = xp.exp(-2.0 * xp.clip(lam, 0.0, None))
        noisy = 2.0 / (2.0 + late + xp.sqrt(late) * xp.sqrt(late + 4.0))
        clean = 2.0 * early / (2.0 * early + 1.0 + xp.sqrt(1.0 + 4.0 * early))
        return xp.where(lam < 0.0, noisy, clean)  # type: ignore[no-any-return]
