"""Adam (Kingma and Ba 2015, algorithm 1), its state in plain tensors that a cache can keep.

torch's own imports its compiler when it is made: more CPU than many a search takes.
"""

from typing import NamedTuple

import torch

__all__ = ["Moments", "step"]

EPSILON = 1e-8


class Moments(NamedTuple):
    """Moving averages of a gradient and of its square, each of its shape."""

    mean: torch.Tensor
    square: torch.Tensor

    @classmethod
    def none(cls, like: torch.Tensor) -> "Moments":
        """Those before the first step."""
        return cls(torch.zeros_like(like), torch.zeros_like(like))


@torch.no_grad()
def step(
    values: torch.Tensor,
    gradient: torch.Tensor,
    moments: Moments,
    count: int,
    rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
) -> Moments:
    """Move ``values`` in place against the ``gradient``; returns the new moments. ``count`` is 1 at the first step.

    >>> values = torch.tensor([1.0])
    >>> _ = step(values, torch.tensor([5.0]), Moments.none(values), count=1, rate=0.1)
    >>> round(values.item(), 6)
    0.9
    """
    first, second = betas
    mean = first * moments.mean + (1 - first) * gradient
    square = second * moments.square + (1 - second) * gradient**2
    root = (square / (1 - second**count)).sqrt() + EPSILON
    values -= rate / (1 - first**count) * mean / root
    return Moments(mean, square)
