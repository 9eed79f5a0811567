"""Mean and covariance of features in one pass: chunks are summed up and thrown away, and sums of chunks add exactly.

    n = n_a + n_b,   δ = μ_b − μ_a,   μ = μ_a + δ n_b/n,   M = M_a + M_b + δ δᵀ n_a n_b/n      (Chan et al. 1979)

| symbol | field | shape | meaning |
|---|---|---|---|
| n | ``count`` | | number of rows |
| μ | ``mean`` | (F,) | their mean |
| M | ``scatter`` | (F, F) | Σ (x − μ)(x − μ)ᵀ |
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.search.metrics.base import checked

__all__ = ["Moments"]


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of ``count`` rows, in float64; ``first + second`` are those of both together.

    >>> rows = np.arange(12.0).reshape(6, 2)
    >>> both = Moments.of(rows[:2]) + Moments.of(rows[2:])
    >>> both.count, both.mean.tolist()
    (6, [5.0, 6.0])
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> "Moments":
        """The moments of rows (n, F), at least one; raises `InvalidInput` where they are not finite."""
        rows = checked(rows)
        mean = rows.mean(axis=0)
        return cls(len(rows), mean, (rows - mean).T @ (rows - mean))

    @classmethod
    def over(cls, chunks: Iterable[np.ndarray]) -> "Moments":
        """The moments of all chunks of rows (n_i, F); raises `InvalidInput` where there is none."""
        parts = (cls.of(chunk) for chunk in chunks)
        try:
            first = next(parts)
        except StopIteration:
            raise InvalidInput("moments want at least one chunk of rows, got none") from None
        return reduce(cls.__add__, parts, first)

    def __add__(self, other: "Moments") -> "Moments":
        if self.mean.shape != other.mean.shape:
            raise InvalidInput(f"moments of {self.mean.shape} and {other.mean.shape} features do not add")
        count, step = self.count + other.count, other.mean - self.mean
        between = np.outer(step, step) * (self.count * other.count / count)
        return Moments(count, self.mean + step * (other.count / count), self.scatter + other.scatter + between)

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased covariance (F, F); raises `InvalidInput` below two rows."""
        if self.count < 2:
            raise InvalidInput(f"a covariance wants at least two rows, got {self.count}")
        return self.scatter / (self.count - 1)
