"""What the store takes and gives: frozen values, every time in UTC."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from fewstep.errors import InvalidInput, InvalidModel
from fewstep.values.problem import Problem, Result, Score

__all__ = [
    "Claim",
    "Event",
    "Facts",
    "LIVE",
    "Model",
    "ModelClaim",
    "ModelState",
    "Page",
    "Published",
    "Search",
    "SearchState",
    "TERMINAL",
]

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


class ModelState(StrEnum):
    """Whether searches may name a model: submitted → ready | refused."""

    SUBMITTED = "submitted"
    READY = "ready"
    REFUSED = "refused"


@dataclass(frozen=True)
class Facts:
    """What is known of a model beyond its identity, as far as it is known: the ``network``'s class, what it predicts,
    its number of ``parameters`` and of stored ``conditions`` (0: it has none), the ``guidance`` scale, the network
    ``passes`` in one call, and the ``seconds_per_call`` of one sample on the slot that tried it."""

    network: str | None = None
    prediction: str | None = None
    parameters: int | None = None
    conditions: int = 0
    guidance: float | None = None
    passes: int | None = None
    seconds_per_call: float | None = None


@dataclass(frozen=True)
class Model:
    """A model, which searches may name once it is ready. ``digest`` is the SHA-256 of its weights and configuration, in
    hexadecimal; ``id`` is its first 16 digits; ``shape`` is one sample's, without the batch; ``process`` is the noise
    law as JSON values; ``reason`` says why it was refused.

    One that is still to be fetched from a hub has the digest of its address and no shape; its id stays. Raises
    `InvalidModel`.
    """

    id: str
    name: str
    source: str
    summary: str
    shape: tuple[int, ...]
    process: dict[str, Any]
    digest: str
    created: datetime
    state: ModelState = ModelState.READY
    reason: str | None = None
    facts: Facts = Facts()

    def __post_init__(self) -> None:
        if len(self.digest) != 64 or not set(self.digest) <= set("0123456789abcdef"):
            raise InvalidModel(f"a model's digest is 64 lower-case hexadecimal digits, got {self.digest[:80]!r}")
        if not (self.id == self.digest[:16] or (self.source == "hub" and re.fullmatch("[0-9a-f]{16}", self.id))):
            raise InvalidModel(f"a model's id is the first 16 digits of its digest, got {self.id[:80]!r}")
        if not (self.shape or self.unfetched) or any(type(size) is not int or size < 1 for size in self.shape):
            raise InvalidModel(f"a model's shape is a tuple of positive whole numbers, got {self.shape!r}")
        _want_utc(self.created)

    @property
    def unfetched(self) -> bool:
        """Whether its files still lie on a hub, so that nothing is known of them."""
        return self.source == "hub" and not self.shape and self.state is not ModelState.READY


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
    """A lease on a search: whoever holds the ``token`` may report on it; ``elapsed`` is how many seconds the search ran
    in earlier attempts."""

    search: Search
    token: str
    elapsed: float = 0.0


@dataclass(frozen=True)
class ModelClaim:
    """A lease on a submitted model: whoever holds the ``token`` may say what it is worth."""

    model: Model
    token: str


@dataclass(frozen=True)
class Event:
    """Something that happened to a search. Ids rise with time; a search's events become visible in the order of their
    ids. ``kind`` is one of:

    | kind | data |
    |---|---|
    | ``state`` | ``state``; also ``reason`` where it failed or was requeued |
    | ``phase`` | ``phase``, ``done``, ``total`` |
    | ``trial`` | ``number``, ``origin``, ``value``, ``standard_error``, ``noises``, ``predicted``, ``best`` (so far) |
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
