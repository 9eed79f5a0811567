"""Start noises by name: every sample has a seed of its own, so a set does not depend on batch size or machine.

Three roles with disjoint seeds keep the search honest: trials are scored on ``search`` noises, finalists are chosen on
``validation`` noises, and the published scores are measured on ``held-out`` noises that chose nothing.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import torch

__all__ = ["HELD_OUT", "SEARCH", "VALIDATION", "NoiseSet", "joined"]

SEARCH, VALIDATION, HELD_OUT = "search", "validation", "held-out"


@dataclass(frozen=True)
class NoiseSet:
    """Noises ``first`` … ``first + count − 1`` of a seed and a role."""

    seed: int
    role: str
    count: int
    first: int = 0

    def draw(self, shape: tuple[int, ...]) -> torch.Tensor:
        """The noises (count, *shape), float32 standard normal, on the CPU."""
        noise = torch.empty(self.count, prod(shape))
        for i in range(self.count):
            name = f"{self.seed}/{self.role}/{self.first + i}"
            seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
            noise[i] = torch.randn(noise.shape[1], generator=torch.Generator().manual_seed(seed))
        return noise.reshape(self.count, *shape)

    def chunks(self, size: int) -> list["NoiseSet"]:
        """The same noises in consecutive sets of at most ``size``."""
        return [
            replace(self, first=self.first + i, count=min(size, self.count - i)) for i in range(0, self.count, size)
        ]

    def split(self, *sizes: int) -> tuple["NoiseSet", ...]:
        """The same noises in consecutive sets of these sizes, empty ones left out.

        >>> [part.first for part in NoiseSet(0, "search", 8).split(2, 6)]
        [0, 2]
        """
        starts = [self.first + sum(sizes[:i]) for i in range(len(sizes))]
        return tuple(replace(self, first=first, count=n) for first, n in zip(starts, sizes, strict=True) if n)


def joined(parts: Sequence[NoiseSet]) -> NoiseSet:
    """The noises of consecutive sets in one; inverse of `NoiseSet.split`."""
    return replace(parts[0], count=sum(part.count for part in parts))
