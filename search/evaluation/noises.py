"""Start noises by name, and their split: every sample has a seed of its own, so a set depends on no batch or machine.

Roles with disjoint seeds keep a search from tuning on what it is judged by; the effort says how large each set is
(`fewstep.values.efforts`):

| set | what for |
|---|---|
| search | trials; a first piece decides on early stopping |
| train | fits, polish, replayed times; the first of them are those of the search |
| validation | the choice among finalists; none at "quick", whose cross-fitted rows have honest scores |
| test | what is published |
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Self

import torch

from fewstep.values.problem import Problem

__all__ = ["SEARCH", "SEARCHED", "TEST", "VALIDATION", "NoiseSet", "NoiseSplit", "joined"]

SEARCH, VALIDATION = "search", "validation"
TEST = "held-out"  # the first name of the role, from which the noises are drawn
SEARCHED = "searched-conditions"  # unseen noises under the conditions that the search had
FIRST_SHARE, FEWEST = 4, 8  # the first piece of the search is a quarter, where that is enough for a test
CHUNK = 128  # test noises of one task


@dataclass(frozen=True)
class NoiseSet:
    """Noises ``first`` … ``first + count − 1`` of a seed and a role."""

    seed: int
    role: str
    count: int
    first: int = 0

    def draw(self, shape: tuple[int, ...], picks: Sequence[int] | None = None) -> torch.Tensor:
        """The noises (count, *shape), float32 standard normal, on the CPU; with ``picks`` only these of them."""
        chosen = range(self.count) if picks is None else picks
        noise = torch.empty(len(chosen), prod(shape))
        for row, i in zip(noise, chosen, strict=True):
            name = f"{self.seed}/{self.role}/{self.first + i}"
            seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
            row[:] = torch.randn(len(row), generator=torch.Generator().manual_seed(seed))
        return noise.reshape(len(chosen), *shape)

    def chunks(self, size: int) -> list["NoiseSet"]:
        """The same noises in consecutive sets of at most ``size``."""
        return [
            replace(self, first=self.first + i, count=min(size, self.count - i)) for i in range(0, self.count, size)
        ]

    def blocks(self, size: int) -> list["NoiseSet"]:
        """The same noises in consecutive sets that end at multiples of ``size``: parts of a set have the borders of it.

        >>> [(block.first, block.count) for block in NoiseSet(0, "search", 48, first=16).blocks(32)]
        [(16, 16), (32, 32)]
        """
        borders = [self.first, *range(self.first - self.first % size + size, self.first + self.count, size)]
        ends = [*borders[1:], self.first + self.count]
        return list(self.split(*(end - start for start, end in zip(borders, ends, strict=True))))

    def common(self, other: "NoiseSet") -> "NoiseSet | None":
        """The noises that are in both sets, None where there are none."""
        first = max(self.first, other.first)
        count = min(self.first + self.count, other.first + other.count) - first
        same = (self.seed, self.role) == (other.seed, other.role)
        return replace(self, first=first, count=count) if same and count > 0 else None

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


@dataclass(frozen=True)
class NoiseSplit:
    """The noises of a search by role, in pieces of one task each; there may be no piece of validation."""

    search: tuple[NoiseSet, ...]
    train: NoiseSet
    validation: tuple[NoiseSet, ...]
    test: tuple[NoiseSet, ...]

    @classmethod
    def of(cls, problem: Problem) -> Self:
        """The split of a problem.

        >>> [piece.count for piece in NoiseSplit.of(Problem("a", 8, effort="thorough")).search]
        [16, 48]
        """
        n = problem.noises
        few = n // FIRST_SHARE if n // FIRST_SHARE >= FEWEST else 0
        return cls(
            NoiseSet(problem.seed, SEARCH, n).split(few, n - few),
            NoiseSet(problem.seed, SEARCH, problem.train_noises),
            NoiseSet(problem.seed, VALIDATION, problem.validation_noises).split(*problem.validation_pieces),
            tuple(NoiseSet(problem.seed, TEST, problem.test_noises).chunks(max(CHUNK, n))),
        )
