"""A submitted search and its state."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fewstep.values.fields import About, Inline
from fewstep.values.problem import Problem
from fewstep.values.score import Score

__all__ = ["LIVE", "TERMINAL", "Search", "SearchState"]


class SearchState(StrEnum):
    """State of a search: queued → running → succeeded | failed | cancelled, with paused on the side."""

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
    """A submitted problem, its state and its progress."""

    id: str
    problem: Annotated[Problem, Inline()]
    state: SearchState
    created: datetime
    started: datetime | None
    finished: datetime | None
    attempt: Annotated[int, About("Counts from 1")]
    error: Annotated[str | None, About("Why it failed")]
    evaluations: Annotated[int, About("Trials recorded")]
    best: Annotated[Score | None, About("The lowest score among the trials")]
    priority: Annotated[int, About("Higher goes first")] = 0

    @property
    def done(self) -> bool:
        """Whether its state is final."""
        return self.state in TERMINAL
