"""Candidates and trials: a schedule that a stage proposes, and its evaluation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from fewstep.schedule import Schedule
from fewstep.values.fields import About, Inline
from fewstep.values.forecast import Forecast, Forecasts
from fewstep.values.origin import Origin
from fewstep.values.score import Score

__all__ = ["Candidate", "Observed", "Rank", "Rejected", "Trial"]


@dataclass(frozen=True)
class Candidate:
    """A schedule to evaluate, where it comes from, and its forecast, if a ranker made one."""

    schedule: Schedule
    origin: Origin
    forecast: Annotated[Forecast | None, Inline()] = None


@dataclass(frozen=True)
class Rejected:
    """A candidate that is not evaluated, for the ``reason`` given: a trial without a score."""

    candidate: Candidate
    reason: str


@dataclass(frozen=True, eq=False)
class Observed:
    """A candidate that its stage has measured: ``observations`` (n, F) of the objective on the first n search noises,
    for ``calls`` network calls."""

    candidate: Candidate
    observations: np.ndarray
    calls: int


@dataclass(frozen=True)
class Trial:
    """One evaluated candidate. ``score`` is None where the evaluation failed; ``reason`` then says why.

    A trial that was stopped early has a score on fewer ``noises`` than its search, whose value is an estimate.
    """

    number: int
    candidate: Annotated[Candidate, Inline()]
    score: Annotated[Score | None, About("None where the evaluation failed")] = None
    reason: Annotated[str | None, About("Why it has no score")] = None

    @property
    def schedule(self) -> Schedule:
        """The candidate's schedule."""
        return self.candidate.schedule

    @property
    def origin(self) -> Origin:
        """Where the candidate comes from."""
        return self.candidate.origin

    @property
    def predicted(self) -> float | None:
        """The forecast of log(score), made before the evaluation."""
        return None if self.candidate.forecast is None else self.candidate.forecast.mean

    @property
    def predicted_std(self) -> float | None:
        """The standard deviation of the forecast."""
        return None if self.candidate.forecast is None else self.candidate.forecast.std

    @property
    def digest(self) -> str:
        """The schedule's digest."""
        return self.schedule.digest


Rank = Callable[[Sequence[Trial], Sequence[Schedule]], Forecasts]
"""``rank(trials so far, candidates) -> Forecasts``; deterministic in its arguments."""
