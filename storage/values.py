"""What the store takes and gives: frozen values, every time in UTC."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from fewstep.errors import InvalidInput, InvalidModel
from fewstep.problem import Problem, Result, Score

__all__ = ["Claim", "Event", "LIVE", "Model", "Page", "Published", "Search", "SearchState", "TERMINAL"]

Item = TypeVar("Item")


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
class Model:
    """A model that searches may name. ``digest`` is the SHA-256 of its weights and configuration, in hexadecimal;
    ``id`` is its first 16 digits; ``shape`` is one sample's, without the batch; ``process`` is the noise law as JSON
    values. Raises `InvalidModel`.
    """

    id: str
    name: str
    source: str
    summary: str
    shape: tuple[int, ...]
    process: dict[str, Any]
    digest: str
    created: datetime

    def __post_init__(self) -> None:
        if len(self.digest) != 64 or not set(self.digest) <= set("0123456789abcdef"):
            raise InvalidModel(f"a model's digest is 64 lower-case hexadecimal digits, got {self.digest[:80]!r}")
        if self.id != self.digest[:16]:
            raise InvalidModel(f"a model's id is the first 16 digits of its digest, got {self.id[:80]!r}")
        if not self.shape or any(type(size) is not int or size < 1 for size in self.shape):
            raise InvalidModel(f"a model's shape is a tuple of positive whole numbers, got {self.shape!r}")
        _want_utc(self.created)


@dataclass(frozen=True)
class Search:
    """A submitted problem and how far it is. ``attempt`` counts from 1; ``evaluations`` is the number of trials
    recorded; ``best`` is the lowest score among them; ``error`` says why it failed."""

    id: str
    problem: Problem
    state: SearchState
    created: datetime
    started: datetime | None
    finished: datetime | None
    attempt: int
    error: str | None
    evaluations: int
    best: Score | None
    priority: int


@dataclass(frozen=True)
class Claim:
    """A lease on a search: whoever holds the ``token`` may report on it."""

    search: Search
    token: str


@dataclass(frozen=True)
class Event:
    """Something that happened to a search. Ids rise with time; a search's events become visible in the order of their
    ids. ``kind`` is one of:

    | kind | data |
    |---|---|
    | ``state`` | ``state``; also ``reason`` where it failed or was requeued |
    | ``phase`` | ``phase``, ``done``, ``total`` |
    | ``trial`` | ``number``, ``origin``, ``value``, ``standard_error``, ``predicted``, ``best`` (lowest value so far) |
    | ``published`` | ``digest``, ``nfe``, ``ratio`` |
    """

    id: int
    search_id: str
    kind: str
    data: dict[str, Any]
    created: datetime


@dataclass(frozen=True)
class Published:
    """A result that may be served; ``digest`` is its schedule's."""

    digest: str
    model_id: str
    search_id: str
    result: Result
    created: datetime


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Some items, and the cursor that asks for the ones after them (None: there are none)."""

    items: list[Item]
    next: str | None


def _want_utc(when: datetime) -> None:
    if when.tzinfo is None or when.utcoffset() != UTC.utcoffset(None):
        raise InvalidInput(f"times are in UTC, got {when!r}: use datetime.now(UTC)")
