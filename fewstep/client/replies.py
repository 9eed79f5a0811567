"""What the service answers: frozen values, and how they are read from its JSON."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar

from fewstep.schedule import Schedule
from fewstep.values.limits import Limits
from fewstep.values.problem import Problem, Result, Score

__all__ = [
    "TERMINAL",
    "Event",
    "Metrics",
    "Model",
    "Published",
    "Search",
    "to_events",
    "to_metrics",
    "to_model",
    "to_published",
    "to_search",
]

TERMINAL = ("succeeded", "failed", "cancelled")

Value = TypeVar("Value")


@dataclass(frozen=True)
class Model:
    """A model that the service knows; ``state`` is submitted, ready or refused, for the ``reason`` given.

    ``shape`` is one sample's, empty while the model is still to be fetched; ``passes`` are those of the network in one
    call, ``seconds_per_call`` is for one sample as it was measured when the model was tried.
    """

    id: str
    name: str
    source: str
    summary: str
    shape: tuple[int, ...]
    process: dict[str, Any]
    digest: str
    created: datetime
    state: str = "ready"
    reason: str | None = None
    network: str | None = None
    prediction: str | None = None
    parameters: int | None = None
    conditions: int = 0
    guidance: float | None = None
    passes: int | None = None
    seconds_per_call: float | None = None


@dataclass(frozen=True)
class Metrics:
    """Names that the service knows, for metrics such as "frechet:digits:teacher"; "endpoint" stands alone."""

    metrics: tuple[str, ...]
    features: tuple[str, ...]
    references: tuple[str, ...]


@dataclass(frozen=True)
class Search:
    """A search on the service; ``state`` is queued, running, paused, succeeded, failed or cancelled."""

    id: str
    problem: Problem
    state: str
    priority: int
    created: datetime
    started: datetime | None
    finished: datetime | None
    attempt: int
    error: str | None
    evaluations: int
    best: Score | None

    @property
    def done(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in TERMINAL


@dataclass(frozen=True)
class Event:
    """Something that happened to a search: ``kind`` is state, phase, trial or published, ``data`` its fields."""

    id: int
    search: str
    kind: str
    data: dict[str, Any]

    @property
    def final(self) -> bool:
        """Whether it ends the search: no event comes after it."""
        return self.kind == "state" and self.data["state"] in TERMINAL


@dataclass(frozen=True)
class Published:
    """What a search found: ``result`` holds the schedule, its score and the baseline it is compared with."""

    digest: str
    model: str
    search: str
    created: datetime
    result: Result

    @property
    def schedule(self) -> Schedule:
        """The schedule found; its ``nfe`` may be lower than the one asked for."""
        return self.result.schedule


def to_events(search: str, lines: Iterable[str]) -> Iterator[Event]:
    """Server-sent events from lines of text; comments and events without an id are passed over."""
    said: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            said[name] = value.removeprefix(" ")
            continue
        if "id" in said:
            yield Event(int(said["id"]), search, said["event"], json.loads(said["data"]))
        said = {}


def _plain(kind: type[Value], data: dict[str, Any], **made: Any) -> Value:
    """A value from the fields that this version knows; times become datetimes."""
    known = {field.name: data[field.name] for field in fields(kind) if field.name in data}  # type: ignore[arg-type]
    for name in {"created", "started", "finished"} & {name for name, value in known.items() if value is not None}:
        known[name] = datetime.fromisoformat(known[name])
    return kind(**{**known, **made})


def to_model(data: dict[str, Any]) -> Model:
    """A model from the API's JSON."""
    return _plain(Model, data, shape=tuple(data["shape"]))


def to_metrics(data: dict[str, Any]) -> Metrics:
    """Names of metrics from the API's JSON."""
    return Metrics(*(tuple(data[field.name]) for field in fields(Metrics)))


def to_search(data: dict[str, Any]) -> Search:
    """A search from the API's JSON."""
    return _plain(Search, data, problem=_problem(data), best=_score(data["best"]))


def _problem(data: dict[str, Any]) -> Problem:
    return _plain(Problem, data, limits=_plain(Limits, data["limits"]))


def _score(data: dict[str, Any] | None) -> Score | None:
    return None if data is None else _plain(Score, data)


def to_published(data: dict[str, Any]) -> Published:
    """A published result from the API's JSON."""
    baseline = data["baseline"]
    result = _plain(
        Result,
        data,
        problem=_problem(data),
        schedule=Schedule.from_dict(data["schedule"]),
        score=_plain(Score, data["score"]),
        baseline_name=baseline["name"],
        baseline_schedule=Schedule.from_dict(baseline["schedule"]),
        baseline=_plain(Score, baseline["score"]),
        second=_score(data["second"]),
        second_baseline=_score(data["second_baseline"]),
    )
    return _plain(Published, data, result=result)
