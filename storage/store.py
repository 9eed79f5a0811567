"""The store: queries and inserts by values, with no session or row outside this package."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from statistics import median

from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.orm import Session

from fewstep.errors import Conflict, InvalidInput, NotFound
from fewstep.grids.arc_length import ArcLength
from fewstep.values.event import Event
from fewstep.values.model import Model
from fewstep.values.objective import DEFAULT
from fewstep.values.page import Page
from fewstep.values.problem import Problem
from fewstep.values.published import Published, best_of
from fewstep.values.search import LIVE, Search, SearchState
from fewstep.values.trial import Trial
from storage.database import Database
from storage.engine import database_time, insert_once
from storage.events import write_event
from storage.mapping import problem_columns, value_of
from storage.queries import (
    MAX_EVENT,
    check_number,
    check_ready,
    front_of,
    insert_model,
    lessons_of,
    metrics_of,
    model_row,
    neighbours_of,
    published_row,
    results_like,
    search_row,
    searches_before,
)
from storage.tables import CurveRow, EventRow, ModelRow, PublishedRow, SearchRow, TrialRow

__all__ = ["MAX_KEY", "MAX_PAGE", "MAX_PRIORITY", "Store"]

MAX_KEY = 255
MAX_PAGE = 500
MAX_PRIORITY = 1000
EARLIER = 100  # results, at most, whose ratios are looked at


class Store(Database):
    """Models, searches, trials, events and published schedules.

    ``url`` is ``sqlite:///path/to/file.db`` or ``postgresql+psycopg://user@host/database``. Raises `InvalidInput`.
    """

    def add_model(self, model: Model) -> Model:
        """Insert a model, or return the stored one with its digest. A refused one is queued for a check again, and one
        of the zoo replaces the same model from elsewhere. Raises `Conflict` where another has its id."""
        with self.write() as session:
            return value_of(Model, insert_model(session, model))

    def models(self) -> list[Model]:
        """Every model, in order of arrival."""
        query = select(ModelRow).order_by(ModelRow.created, ModelRow.id)
        with self.read() as session:
            return [value_of(Model, row) for row in session.scalars(query)]

    def model(self, id: str) -> Model:
        """The model of that id; raises `NotFound`."""
        with self.read() as session:
            return value_of(Model, model_row(session, id))

    def curve(self, model_id: str) -> ArcLength:
        """The model's arc length, as the first search of it measured it; raises `NotFound` until then."""
        with self.read() as session:
            row = session.get(CurveRow, model_id)
            if row is None:
                model_row(session, model_id)
                raise NotFound(
                    f"no search of model {model_id} has measured its curve yet: submit one, or run fewstep grid here"
                )
            return ArcLength.from_dict(row.curve)

    def delete_model(self, id: str) -> None:
        """Delete a model with its searches and schedules. Raises `NotFound`, or `Conflict` while a search of it is
        queued, running or paused."""
        with self.write() as session:
            model_row(session, id, lock="update")
            live = select(SearchRow.id).where(SearchRow.model_id == id, SearchRow.state.in_(LIVE)).limit(1)
            search_id = session.scalar(live)
            if search_id is not None:
                raise Conflict(f"search {search_id} of model {id} is not finished: cancel it first")
            session.execute(delete(ModelRow).where(ModelRow.id == id))

    def submit(self, problem: Problem, key: str | None = None, priority: int = 0) -> Search:
        """Queue a search. The same idempotency ``key`` with the same problem gives the same search again; with
        another problem it raises `Conflict`. Raises `NotFound` where the model is unknown, `Conflict` until it is
        ready."""
        return self.submit_all([problem], key, priority)[0]

    def submit_all(self, problems: Sequence[Problem], key: str | None = None, priority: int = 0) -> list[Search]:
        """Queue several searches in this order, all or none, under one idempotency ``key``; raises as `submit`."""
        if key is not None and not 1 <= len(key) <= MAX_KEY:
            raise InvalidInput(f"an idempotency key has 1 to {MAX_KEY} characters, got {len(key)}")
        check_number("priority", priority, -MAX_PRIORITY, MAX_PRIORITY)
        with self.write() as session:
            for model_id in sorted({problem.model for problem in problems}):
                check_ready(model_row(session, model_id, lock="share"))
            now = database_time(session)
            first = uuid.uuid4().hex
            for i, problem in enumerate(problems):
                search_id = uuid.uuid4().hex if i else first
                is_new = insert_once(
                    session,
                    SearchRow,
                    id=search_id,
                    key=None if i else key,
                    submission=first if i else None,
                    **problem_columns(problem),
                    priority=priority,
                    state=SearchState.QUEUED,
                    attempt=1,
                    evaluations=0,
                    created=now,
                )
                if not is_new:  # another request had the key
                    break
                write_event(session, search_id, "state", {"state": SearchState.QUEUED}, now)
            searches = _submitted(session, SearchRow.id == first) or _submitted(session, SearchRow.key == key)
        if not searches:
            raise Conflict(f"the search of idempotency key {key!r} was deleted just now: submit again")
        if [search.problem for search in searches] != list(problems):
            raise Conflict(f"the idempotency key {key!r} belongs to search {searches[0].id}, which has another problem")
        return searches

    def ready_model(self, id: str) -> Model:
        """The model of that id, which searches may use; raises `NotFound`, and `Conflict` until it is ready."""
        model = self.model(id)
        check_ready(model)
        return model

    def expected_ratio(self, problem: Problem) -> float | None:
        """The median ratio of the last results of the problem's metric, effort and number of calls: of its model, where
        there are any, else of all models; None where there are none."""
        with self.read() as session:
            for of_model in (True, False):
                results = session.scalars(results_like(problem, EARLIER, of_model=of_model)).all()
                ratios: list[float] = [result["ratio"] for result in results]
                if ratios:
                    return median(ratios)
        return None

    def search(self, id: str) -> Search:
        """The search of that id; raises `NotFound`."""
        with self.read() as session:
            return value_of(Search, search_row(session, id))

    def searches(
        self,
        limit: int = 50,
        cursor: str | None = None,
        state: SearchState | str | None = None,
        model: str | None = None,
    ) -> Page[Search, str]:
        """Searches, newest first; ``cursor`` is the last page's ``next``. A walk over the pages sees every search that
        was there at its start exactly once. Raises `InvalidInput`."""
        check_number("limit", limit, 1, MAX_PAGE)
        query = searches_before(cursor, state, model).limit(limit + 1)
        with self.read() as session:
            rows = session.scalars(query).all()
            next_cursor = str(rows[limit - 1].number) if len(rows) > limit else None
            return Page([value_of(Search, row) for row in rows[:limit]], next_cursor)

    def trials(self, search_id: str, after: int = -1, limit: int | None = None) -> list[Trial]:
        """Trials of a search with numbers above ``after``, by number, at most ``limit``; raises `NotFound`."""
        check_number("after", after, -1)
        if limit is not None:
            check_number("limit", limit, 1)
        query = select(TrialRow).where(TrialRow.search_id == search_id, TrialRow.number > after)
        with self.read() as session:
            search_row(session, search_id)
            return [value_of(Trial, row) for row in session.scalars(query.order_by(TrialRow.number).limit(limit))]

    def trial(self, search_id: str, number: int) -> Trial:
        """One trial of a search; raises `NotFound`."""
        check_number("number", number, 0)
        with self.read() as session:
            row = session.get(TrialRow, (search_id, number))
            if row is None:
                raise NotFound(f"search {search_id[:80]!r} has no trial {number}")
            return value_of(Trial, row)

    def lessons(self, problem: Problem, until: datetime, limit: int = 6) -> list[str]:
        """The last ``limit`` transfer records (JSON) of searches of other models by the same metric, by ``until``."""
        with self.read() as session:
            return list(session.scalars(lessons_of(problem, until, limit)))

    def neighbours(self, problem: Problem, until: datetime, searches: int = 3, trials: int = 200) -> list[Trial]:
        """Trials for a warm start: the first ``trials`` of each of the last ``searches`` that succeeded by ``until``
        with the same model and metric at the nearest other numbers of calls."""
        with self.read() as session:
            neighbours: list[Trial] = []
            for id in session.scalars(neighbours_of(problem, until, searches)).all():
                query = select(TrialRow).where(TrialRow.search_id == id).order_by(TrialRow.number).limit(trials)
                neighbours += [value_of(Trial, row) for row in session.scalars(query)]
            return neighbours

    def events(self, search_id: str, after: int = 0, limit: int = 500) -> list[Event]:
        """Events of a search with ids above ``after``, oldest first; raises `NotFound`."""
        check_number("limit", limit, 1, MAX_PAGE)
        check_number("after", after, 0, MAX_EVENT)
        with self.read() as session:
            search_row(session, search_id)
            query = select(EventRow).where(EventRow.search_id == search_id, EventRow.id > after)
            return [value_of(Event, row) for row in session.scalars(query.order_by(EventRow.id).limit(limit))]

    def best(self, model_id: str, nfe: int, metric: str = DEFAULT) -> Published:
        """The best schedule of at most ``nfe`` calls by one metric, as `fewstep.values.published.best_of` compares
        them; raises `NotFound`, which names the metrics of other results."""
        check_number("nfe", nfe, 1)
        with self.read() as session:
            rows = session.scalars(front_of(model_id, metric, most=nfe)).all()
            if rows:
                return best_of([value_of(Published, row) for row in rows])
            model_row(session, model_id)
            others = session.scalars(metrics_of(model_id, nfe)).all()
        remedy = f"there are some by {', '.join(others)}: ask for one of these, or " if others else ""
        raise NotFound(
            f"model {model_id} has no schedule of at most {nfe} calls by {metric[:80]!r} yet: {remedy}submit a search"
        )

    def front(self, model_id: str, metric: str | None = None, until: datetime | None = None) -> list[Published]:
        """The best schedule of every number of calls, fewest first, per metric where none is named; of those published
        by ``until``, if not None. Raises `NotFound` where the model is unknown."""
        with self.read() as session:
            model_row(session, model_id)
            return [value_of(Published, row) for row in session.scalars(front_of(model_id, metric, until))]

    def schedule(self, digest: str) -> Published:
        """The first result that published the schedule of that digest; raises `NotFound`."""
        query = select(PublishedRow).where(PublishedRow.digest == digest).order_by(PublishedRow.number).limit(1)
        with self.read() as session:
            row = session.scalars(query).first()
            if row is None:
                raise NotFound(f"no schedule {digest[:80]!r} was published")
            return value_of(Published, row)

    def result(self, search_id: str) -> Published:
        """The published result of a search; raises `NotFound` until it has succeeded."""
        with self.read() as session:
            return value_of(Published, published_row(session, search_id))


def _submitted(session: Session, first: ColumnElement[bool]) -> list[Search]:
    """The searches of one request, of which the ``first`` is described, in order."""
    id = session.scalar(select(SearchRow.id).where(first))
    query = select(SearchRow).where(or_(SearchRow.id == id, SearchRow.submission == id)).order_by(SearchRow.number)
    return [] if id is None else [value_of(Search, row) for row in session.scalars(query)]
