"""What the pages show, gathered from the store."""

from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

from fewstep.errors import InvalidInput, NotFound
from fewstep.schedule import Schedule
from fewstep.values.cost_card import CostCard, cost_card
from fewstep.values.event import Event
from fewstep.values.model import Model
from fewstep.values.origin import Origin
from fewstep.values.result import Result
from fewstep.values.score import Score
from fewstep.values.search import TERMINAL, Search, SearchState
from storage.store import MAX_PAGE, Store

__all__ = ["Line", "Lines", "Point", "SearchPage", "line_page", "search_page"]

SEARCHES = 20  # on a page
LEADERS = 10
BASELINES = "baselines"


@dataclass(frozen=True)
class Point:
    """A measured trial as its event has it; ``predicted`` forecasts log(value), ``noises`` is how many it was measured
    on (None: all, in events of older versions)."""

    number: int
    origin: str
    stage: str
    value: float
    standard_error: float
    predicted: float | None
    noises: int | None = None

    @property
    def is_baseline(self) -> bool:
        """Whether it is a named solver."""
        return self.stage == BASELINES

    @property
    def name(self) -> str:
        """The origin in words."""
        return Origin.parse(self.origin).name or self.origin


@dataclass(frozen=True)
class Line:
    """A search in the list; ``ratio`` is its ``score`` over the best baseline's, ``final`` on test noises."""

    search: Search
    model: str
    score: Score | None
    ratio: float | None
    final: bool


@dataclass(frozen=True)
class Lines:
    """A page of the list, and the cursor of the one after it, if there is one."""

    lines: list[Line]
    next: str | None


@dataclass(frozen=True)
class SearchPage:
    """One search: where it stands, its best trials, its best schedule beside the best baseline, its result.

    ``last`` is the id of the last event that went into it, ``phase`` the data of the last one about progress, ``slots``
    the share of the time that each slot of the runner has worked of late;
    ``incumbent`` and ``baseline`` are the best trial of all and the best named solver's. ``schedule`` is the winner's,
    before there is one the incumbent's; ``reference`` is the baseline's to compare it with, unless they are one.
    ``cost`` is what the search will take at most, while it lives; None where its limits leave no room. ``outside`` is
    the version of the fewstep that published the result from outside, if it was: the service measured nothing of it.
    """

    search: Search
    model: Model
    last: int
    phase: dict[str, Any] | None
    slots: list[float]
    leaders: list[Point]
    incumbent: Point | None
    baseline: Point | None
    schedule: Schedule | None
    reference: Schedule | None
    result: Result | None
    cost: CostCard | None
    outside: str | None

    @property
    def live(self) -> bool:
        """Whether anything can still happen."""
        return self.search.state not in TERMINAL

    @property
    def ratio(self) -> float | None:
        """Incumbent over best baseline, on the search noises."""
        return _ratio(self.incumbent, self.baseline)


def line_page(store: Store, cursor: str | None) -> Lines:
    """A page of the list of searches, newest first; raises `InvalidInput` where the cursor is none."""
    page = store.searches(limit=SEARCHES, cursor=cursor)
    names = {model.id: model.name for model in store.models()}
    lines = []
    for search in page.items:
        with suppress(NotFound):  # deleted since the page was read
            lines.append(_line(store, search, names.get(search.problem.model, search.problem.model)))
    return Lines(lines, page.next)


def search_page(store: Store, id: str) -> SearchPage:
    """Everything about one search; raises `NotFound`."""
    events = _events(store, id)  # before the search, whose state is then at least as new
    search = store.search(id)
    scored = _scored(events)
    phases = [event.data for event in events if event.kind == "phase"]
    slots = [event.data["busy"] for event in events if event.kind == "slots"]
    versions = [event.data.get("version") for event in events if event.kind == "published"]
    incumbent, baseline = _bests(scored)
    result = store.result(id).result if search.state is SearchState.SUCCEEDED else None
    schedule = result.schedule if result else _schedule(store, id, incumbent)
    reference = result.baseline.schedule if result else _schedule(store, id, baseline)
    model = store.model(search.problem.model)
    cost = None
    if search.state not in TERMINAL:
        with suppress(InvalidInput):
            cost = cost_card(search.problem, model.facts.passes or 1, model.facts.seconds_per_call)
    return SearchPage(
        search=search,
        model=model,
        last=events[-1].id if events else 0,
        phase=phases[-1] if phases else None,
        slots=slots[-1] if slots else [],
        leaders=scored[:LEADERS],
        incumbent=incumbent,
        baseline=baseline,
        schedule=schedule,
        reference=None if reference == schedule else reference,
        result=result,
        cost=cost,
        outside=versions[-1] if versions else None,
    )


def _line(store: Store, search: Search, model: str) -> Line:
    if search.state is SearchState.SUCCEEDED:
        result = store.result(search.id).result
        return Line(search, model, result.score, result.ratio, True)
    if search.best is None or search.state in TERMINAL:
        return Line(search, model, search.best, None, False)
    return Line(search, model, search.best, _ratio(*_bests(_scored(_events(store, search.id)))), False)


def _events(store: Store, id: str) -> list[Event]:
    events: list[Event] = []
    while True:
        batch = store.events(id, after=events[-1].id if events else 0, limit=MAX_PAGE)
        events += batch
        if len(batch) < MAX_PAGE:
            return events


def _scored(events: list[Event]) -> list[Point]:
    """The trials with a value, best first."""
    trials = [event.data for event in events if event.kind == "trial" and event.data["value"] is not None]
    points = [
        Point(**{field.name: data[field.name] for field in fields(Point) if field.name in data}) for data in trials
    ]
    return sorted(points, key=lambda point: (point.value, point.number))


def _bests(scored: list[Point]) -> tuple[Point | None, Point | None]:
    """The incumbent, and the best baseline."""
    return next(iter(scored), None), next((point for point in scored if point.is_baseline), None)


def _schedule(store: Store, id: str, point: Point | None) -> Schedule | None:
    return None if point is None else store.trial(id, point.number).schedule


def _ratio(incumbent: Point | None, baseline: Point | None) -> float | None:
    return incumbent.value / baseline.value if incumbent and baseline and baseline.value else None
