"""A submitted search, and where it stands."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from fewstep.values.fields import about, beside
from fewstep.values.problem import Problem
from fewstep.values.score import Score

__all__ = ["LIVE", "TERMINAL", "Search", "SearchState"]


class SearchState(StrEnum):
    """Where a search stands: queued → running → succeeded | failed | cancelled, with paused on the side."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


LIVE = (SearchState.QUEUED, SearchState.RUNNING, SearchState.PAUSED)
TERMINAL = (SearchState.SUCCEEDED, SearchState.FAILED, SearchState.CANCELLED)


@dataclass(frozen=True)
class Search:
    """A submitted problem and how far it is."""

    id: str
    problem: Problem = beside()
    state: SearchState
    created: datetime
    started: datetime | None
    finished: datetime | None
    attempt: int = about("Counts from 1")
    error: str | None = about("Why it failed")
    evaluations: int = about("Trials recorded")
    best: Score | None = about("The lowest score among the trials")
    priority: int = about("Higher goes first", default=0)

    @property
    def done(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in TERMINAL
