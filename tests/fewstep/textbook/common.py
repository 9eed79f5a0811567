"""What the textbook loops share: the network as each paper names its output, and the noise law as plain floats."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from fewstep.processes import Process

__all__ = ["Run"]


@dataclass
class Run:
    """One run to be written out by hand: a model, a noise law, and fresh noises to take one after the other.

    ``largest`` is the largest number that any state had: rounding grows with it.
    """

    denoiser: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    law: Process
    fresh: Sequence[torch.Tensor] = ()
    largest: float = 1.0
    drawn: int = field(default=0)

    def data(self, x: torch.Tensor, t: float) -> torch.Tensor:
        """The network's data prediction D(x, t)."""
        self.largest = max(self.largest, float(x.abs().max()))
        return self.denoiser(x, torch.full((len(x),), t, dtype=x.dtype))

    def noise(self, x: torch.Tensor, t: float) -> torch.Tensor:
        """The network's noise prediction ε(x, t)."""
        return (x - self.alpha(t) * self.data(x, t)) / self.sigma(t)

    def z(self) -> torch.Tensor:
        """The next fresh noise."""
        self.drawn += 1
        return self.fresh[self.drawn - 1]

    def alpha(self, t: float) -> float:
        """α(t)."""
        return float(self.law.alpha(t))

    def sigma(self, t: float) -> float:
        """σ(t)."""
        return float(self.law.sigma(t))

    def lam(self, t: float) -> float:
        """λ(t)."""
        return float(self.law.log_snr(t))

    def rho(self, t: float) -> float:
        """σ/α at t."""
        return self.sigma(t) / self.alpha(t)

    def at(self, lam: float) -> float:
        """t(λ)."""
        return float(self.law.time(torch.tensor(lam, dtype=torch.float64)))

    def transfer(self, x: torch.Tensor, eps: torch.Tensor, s: float, t: float) -> torch.Tensor:
        """DDIM's step from s to t with a given noise (Song et al. 2021, eq. 12; PNDM's φ)."""
        return self.alpha(t) * (x - self.sigma(s) * eps) / self.alpha(s) + self.sigma(t) * eps

    def first(self, x: torch.Tensor, s: float, t: float) -> torch.Tensor:
        """The first-order step in the form that holds from pure noise to clean data."""
        d = self.data(x, s)
        return self.alpha(t) * d + self.sigma(t) / self.sigma(s) * (x - self.alpha(s) * d)
