"""Decoupled diffusion models (Huang et al. 2023): forward process, loss and reverse samplers of the paper.

    x_t = x_0 + H(t) + √t·ε,  H(t) = C·t + K·t²/2,  H(1) = −x_0

| symbol | shape | meaning |
|---|---|---|
| K | (B, ...) | 0 for constant attenuation; for linear, standard normal numbers held inside [−1, 1] |
| C | (B, ...) | −x_0 − K/2 |
| s, r | | length of a reverse step from t, and where it ends, r = t − s |

The zoo's model has constant attenuation, so K has no head there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import nn

from fewstep.models.base import per_sample
from fewstep.models.decoupled import TIME_FLOOR, TwoHeads

__all__ = ["Attenuation", "Decoupled", "Estimates", "forward", "paper_times", "reverse"]


class Attenuation(NamedTuple):
    """Attenuation of the data: ``constant`` C and ``slope`` K, each (B, ...)."""

    constant: torch.Tensor
    slope: torch.Tensor

    @classmethod
    def of(cls, data: torch.Tensor, generator: torch.Generator | None = None) -> "Attenuation":
        """Constant attenuation of ``data`` (B, ...); linear, with random slopes, with a ``generator``."""
        slope = torch.zeros_like(data)
        if generator is not None:
            slope = torch.randn(data.shape, generator=generator).clamp(-1, 1).to(data)
        return cls(-data - slope / 2, slope)

    def until(self, t: torch.Tensor) -> torch.Tensor:
        """H(t), (B, ...), for ``t`` that broadcasts over the data."""
        return self.constant * t + self.slope * t**2 / 2


Estimates = Callable[[torch.Tensor, torch.Tensor], tuple[Attenuation, torch.Tensor]]  # (x_t, t (B,)) -> (H, ε)


def forward(data: torch.Tensor, attenuation: Attenuation, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """x_t (B, ...) of ``data`` and ``noise`` (B, ...) at ``t`` (B,) in [0, 1].

    >>> data = torch.full((1, 2), 0.5)
    >>> forward(data, Attenuation.of(data), torch.ones(1, 2), torch.ones(1))  # pure noise at the end
    tensor([[1., 1.]])
    """
    s = per_sample(t, data)
    return data + attenuation.until(s) + s.sqrt() * noise


@dataclass(frozen=True)
class Decoupled:
    """Loss of a network with two heads, constant attenuation: t uniform in [1e-4, 1] and

        w_1·‖Ĉ − C‖² + w_2·‖ε̂ − ε‖² + (1 − t)²·|x̂_0 − x_0|,  x̂_0 = x_t − t·Ĉ − √t·ε̂

    ``weighted``: w_1 = 1/t and w_2 = 1/(1 − t + 1e-4), else both are 1.
    """

    weighted: bool = True

    def __call__(
        self, network: nn.Module, data: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """The batch's mean loss, a scalar: ``data`` (B, ...); the labels are not used."""
        t = (TIME_FLOOR + (1 - TIME_FLOOR) * torch.rand(len(data), generator=generator)).to(data.device)
        noise = torch.randn(data.shape, generator=generator).to(data)
        attenuation = Attenuation.of(data)
        state = forward(data, attenuation, noise, t)
        heads = TwoHeads()
        output = network(*heads.inputs(state, t))
        guess, guessed = heads.estimates(getattr(output, "sample", output).to(data.dtype), state, t)
        s = per_sample(t, data)
        recovered = state - s * guess - s.sqrt() * guessed
        first, second = (1 / s, 1 / (1 - s + TIME_FLOOR)) if self.weighted else (1, 1)
        terms = first * (guess - attenuation.constant) ** 2 + second * (guessed - noise) ** 2
        return (terms + (1 - s) ** 2 * (recovered - data).abs()).mean()


def paper_times(calls: int, last: float = TIME_FLOOR) -> list[float]:
    """The paper's times: ``calls`` − 1 equal steps from 1 to 0, the last of them split in two at ``last``.

    >>> paper_times(3)
    [1.0, 0.5, 0.0001, 0.0]
    """
    even = [1 - i / (calls - 1) for i in range(calls - 1)]
    return [*even, last, 0.0]


def reverse(
    estimates: Estimates,
    noise: torch.Tensor,
    times: Sequence[float],
    generator: torch.Generator | None = None,
    clamp: bool = False,
) -> torch.Tensor:
    """The paper's sampler: (B, ...) from ``noise`` at times[0] = 1 down to times[-1] = 0.

    x_r = x_t + H(r) − H(t) − (s/√t)·ε + √(s·r/t)·z (eq. 15), with fresh z from ``generator``; without one, its
    deterministic relative x_r = x_0 + H(r) + √r·ε. ``clamp`` holds x̂_0 inside [−1, 1] and sets C to fit.
    """
    x = noise
    for t, r in pairwise(times):
        now = torch.full((len(x),), t, dtype=x.dtype, device=x.device)
        attenuation, guessed = estimates(x, now)
        end = torch.tensor(t, dtype=x.dtype, device=x.device)
        data = x - attenuation.until(end) - end.sqrt() * guessed
        if clamp:
            data = data.clamp(-1, 1)
            attenuation = Attenuation(-data - attenuation.slope / 2, attenuation.slope)
        start = torch.tensor(r, dtype=x.dtype, device=x.device)
        if generator is None:
            x = data + attenuation.until(start) + start.sqrt() * guessed
        else:
            x = x + attenuation.until(start) - attenuation.until(end) - (end - start) / end.sqrt() * guessed
            x = x + ((end - start) * start / end).sqrt() * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    return x
