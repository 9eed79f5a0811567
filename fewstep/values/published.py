"""A published result of a search, and which of several is the best."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fewstep.schedule import Schedule
from fewstep.values.fields import About, Inline
from fewstep.values.result import Measured, Result
from fewstep.values.score import Interval

__all__ = ["Published", "best_of"]


@dataclass(frozen=True)
class Published:
    """A published result, with the ids of its ``model`` and its ``search``; ``digest`` is its schedule's."""

    digest: Annotated[str, About("Of the schedule")]
    model: Annotated[str, About("The model's id")]
    search: Annotated[str, About("The search's id")]
    created: datetime
    result: Annotated[Result, Inline()]

    @property
    def schedule(self) -> Schedule:
        """The winner's schedule."""
        return self.result.schedule

    @property
    def nfe(self) -> int:
        """Network calls of the schedule, at most those that the problem allows."""
        return self.schedule.nfe


def best_of(results: Iterable[Published]) -> Published:
    """The best of results by one objective: the one of most calls, unless one of fewer is better by more than chance.

    It is where its whole 95 % interval lies below the other's. Of equal numbers of calls the lowest value counts, of
    equal values the first.
    """
    lowest: dict[int, Published] = {}
    for published in sorted(results, key=lambda each: each.result.score.value):
        lowest.setdefault(published.nfe, published)
    best, *fewer = (lowest[nfe] for nfe in sorted(lowest, reverse=True))
    for published in fewer:
        if _interval(published.result.winner).high < _interval(best.result.winner).low:
            best = published
    return best


def _interval(measured: Measured) -> Interval:
    return measured.interval or measured.score.interval
