"""SQL queries of the store, the insertion of a model, and the checks of their arguments."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from fewstep.errors import Conflict, InvalidInput, NotFound
from fewstep.values.model import PIPELINE, Model, ModelState
from fewstep.values.problem import Problem
from fewstep.values.search import SearchState
from storage.engine import insert_once
from storage.mapping import model_columns
from storage.tables import LessonRow, ModelRow, PublishedRow, SearchRow

__all__ = [
    "MAX_EVENT",
    "MAX_NUMBER",
    "front_of",
    "insert_model",
    "lessons_of",
    "metrics_of",
    "model_row",
    "neighbours_of",
    "published_row",
    "results_like",
    "search_row",
    "searches_before",
    "check_number",
    "check_ready",
]

MAX_EVENT = 2**63 - 1  # the largest event id of either database
MAX_NUMBER = 2**31 - 1  # the largest whole number of the other columns


def model_row(session: Session, id: str, *, lock: Literal["", "update", "share"] = "") -> ModelRow:
    """The model of that id, locked until the transaction ends: for an "update", or "share", which only keeps it from
    being deleted. Raises `NotFound`."""
    query = select(ModelRow).where(ModelRow.id == id)
    if lock:
        query = query.with_for_update(read=lock == "share", key_share=lock == "share")
    row = session.scalars(query).first()
    if row is None:
        raise NotFound(f"there is no model {id[:80]!r}: add it first")
    return row


def insert_model(session: Session, model: Model) -> ModelRow:
    """Insert a model unless one has its digest; the row that is there then, locked until the transaction ends.

    A refused one is queued for a check again. One of the zoo replaces the same model from elsewhere, and one with
    weights that of a tuned pipeline. Raises `Conflict` where another model has its id.
    """
    columns = model_columns(model)
    insert_once(session, ModelRow, **columns)
    matches = or_(ModelRow.id == model.id, ModelRow.digest == model.digest)
    row = session.scalars(select(ModelRow).where(matches).with_for_update()).one()
    if row.digest != model.digest and model.source != "hub":
        raise Conflict(f"model {model.id} has digest {row.digest}, got {model.digest}: the ids collide")
    replaces = model.source != row.source and (model.source == "zoo" or row.source == PIPELINE)
    if row.state is ModelState.REFUSED or replaces:
        for name in columns.keys() - {"id", "created"}:
            setattr(row, name, columns[name])
        row.attempt = 1
        row.token = row.runner = row.lease_until = None
    return row


def published_row(session: Session, search_id: str) -> PublishedRow:
    """The result of a search; raises `NotFound` until it has succeeded."""
    row = session.scalars(select(PublishedRow).where(PublishedRow.search_id == search_id)).first()
    if row is None:
        raise NotFound(f"search {search_id[:80]!r} has published nothing")
    return row


def search_row(session: Session, id: str, *, for_update: bool = False) -> SearchRow:
    """The search of that id; ``for_update`` locks its row until the transaction ends. Raises `NotFound`."""
    query = select(SearchRow).where(SearchRow.id == id)
    row = session.scalars(query.with_for_update() if for_update else query).first()
    if row is None:
        raise NotFound(f"there is no search {id[:80]!r}")
    return row


def searches_before(cursor: str | None, state: str | None, model: str | None) -> Select[SearchRow]:
    """Searches submitted before the cursor, newest first; raises `InvalidInput`."""
    query = select(SearchRow).order_by(SearchRow.number.desc())
    if cursor is not None:
        if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18 or int(cursor) > MAX_NUMBER:
            raise InvalidInput(f"cursor is the last page's 'next' as it was given, got {cursor[:40]!r}")
        query = query.where(SearchRow.number < int(cursor))
    if state is not None:
        if state not in list(SearchState):
            raise InvalidInput(f"state is one of {', '.join(SearchState)}, got {state[:40]!r}")
        query = query.where(SearchRow.state == SearchState(state))
    if model is not None:
        query = query.where(SearchRow.model_id == model)
    return query


def front_of(
    model_id: str, metric: str | None, until: datetime | None = None, most: int = MAX_NUMBER
) -> Select[PublishedRow]:
    """The lowest score of every metric (or one) and number of calls up to ``most``, of equals the oldest; of those
    published by ``until``, if not None."""
    order = (PublishedRow.value, PublishedRow.number)
    rank = func.row_number().over(partition_by=(PublishedRow.metric, PublishedRow.nfe), order_by=order)
    ranked = select(PublishedRow.number, rank.label("rank"))
    ranked = ranked.where(PublishedRow.model_id == model_id, PublishedRow.nfe <= most)
    if metric is not None:
        ranked = ranked.where(PublishedRow.metric == metric)
    if until is not None:
        ranked = ranked.where(PublishedRow.created <= until)
    first = ranked.subquery()
    query = select(PublishedRow).join(first, first.c.number == PublishedRow.number).where(first.c.rank == 1)
    return query.order_by(PublishedRow.metric, PublishedRow.nfe)


def metrics_of(model_id: str, most: int) -> Select[str]:
    """The metrics by which a model has results of at most ``most`` calls."""
    query = select(PublishedRow.metric).where(PublishedRow.model_id == model_id, PublishedRow.nfe <= most)
    return query.distinct().order_by(PublishedRow.metric)


def results_like(problem: Problem, limit: int, *, of_model: bool) -> Select[Any]:
    """The JSON of the last results of a metric, effort and number of calls; of the model alone, if asked."""
    query = select(PublishedRow.result).join(SearchRow, SearchRow.id == PublishedRow.search_id)
    query = query.where(
        PublishedRow.metric == problem.metric, SearchRow.effort == problem.effort, SearchRow.nfe == problem.nfe
    )
    if of_model:
        query = query.where(PublishedRow.model_id == problem.model)
    return query.order_by(PublishedRow.number.desc()).limit(limit)


def neighbours_of(problem: Problem, until: datetime, limit: int) -> Select[str]:
    """Ids of searches for a warm start: of the problem's model and metric at other numbers of calls, succeeded by
    ``until``; the last one of each number, the nearest numbers first, of equals the fewest calls."""
    rank = func.row_number().over(partition_by=SearchRow.nfe, order_by=PublishedRow.number.desc())
    query = select(SearchRow.id, SearchRow.nfe, rank.label("rank")).join(
        PublishedRow, PublishedRow.search_id == SearchRow.id
    )
    ranked = query.where(
        PublishedRow.model_id == problem.model,
        PublishedRow.metric == problem.metric,
        PublishedRow.created <= until,
        SearchRow.nfe != problem.nfe,
    ).subquery()
    last_searches = select(ranked.c.id).where(ranked.c.rank == 1)
    return last_searches.order_by(func.abs(ranked.c.nfe - problem.nfe), ranked.c.nfe).limit(limit)


def lessons_of(problem: Problem, until: datetime, limit: int) -> Select[str]:
    """Transfer records of searches of other models by the problem's metric, left by ``until``, the newest first."""
    query = select(LessonRow.lesson).where(
        LessonRow.metric == problem.metric, LessonRow.model_id != problem.model, LessonRow.created <= until
    )
    return query.order_by(LessonRow.created.desc(), LessonRow.search_id).limit(limit)


def check_ready(model: ModelRow | Model) -> None:
    """Raise `Conflict` unless searches may use the model."""
    if model.source == PIPELINE:
        raise Conflict(
            f"model {model.id} cannot be searched here, its weights are where it was tuned: run fewstep tune there, "
            "and publish what it finds"
        )
    if model.state is not ModelState.READY:
        remedy = f"{model.reason}; submit it again" if model.reason else "wait until it is ready"
        raise Conflict(f"model {model.id} is {model.state}: {remedy}")


def check_number(name: str, value: int, low: int, high: int = MAX_NUMBER) -> None:
    """Raise `InvalidInput` unless ``value`` is a whole number from ``low`` to ``high``."""
    if type(value) is not int or not low <= value <= high:
        raise InvalidInput(f"{name} is a whole number from {low} to {high}, got {value!r}")
