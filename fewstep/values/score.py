"""Scores with their standard errors, and confidence intervals."""

import math
from dataclasses import dataclass

from fewstep.errors import InvalidInput

__all__ = ["Interval", "Score"]

SURE = 1.96  # standard errors of a 95 % interval


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Score:
    """A measured error, lower is better: ``value`` ± ``standard_error`` over ``noises`` start noises.

    ``calls`` counts the network sample-calls spent on it. A trial that was stopped early has fewer noises than its
    problem, and cannot be the best one. Raises `InvalidInput` where a number is not finite.

    >>> Score(0.1, 0.01, noises=128, calls=1024).value
    0.1
    """

    value: float
    standard_error: float
    noises: int
    calls: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and math.isfinite(self.standard_error)):
            raise InvalidInput(f"a score is finite, got {self.value} ± {self.standard_error}")

    @property
    def interval(self) -> Interval:
        """The 95 % confidence interval of a normal distribution with that standard error."""
        return Interval(self.value - SURE * self.standard_error, self.value + SURE * self.standard_error)
