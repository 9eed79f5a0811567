"""SQL queries of the store, and the checks of their arguments."""

from datetime import datetime
from typing import Literal

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from fewstep.errors import InvalidInput, NotFound
from fewstep.values.problem import Problem
from fewstep.values.search import SearchState
from storage.tables import LessonRow, ModelRow, PublishedRow, SearchRow

__all__ = [
    "MAX_EVENT",
    "MAX_NUMBER",
    "best_of",
    "front_of",
    "lessons_of",
    "model_row",
    "neighbours_of",
    "search_row",
    "searches_before",
    "check_number",
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


def best_of(model_id: str, nfe: int, metric: str) -> Select[PublishedRow]:
    """The lowest score of at most ``nfe`` calls; of equals the one of fewest calls, then the oldest."""
    query = select(PublishedRow).where(
        PublishedRow.model_id == model_id, PublishedRow.metric == metric, PublishedRow.nfe <= nfe
    )
    return query.order_by(PublishedRow.value, PublishedRow.nfe, PublishedRow.number).limit(1)


def front_of(model_id: str, metric: str | None, until: datetime | None = None) -> Select[PublishedRow]:
    """The lowest score of every metric (or one) and number of calls, of equals the oldest; of those published by
    ``until``, if not None."""
    order = (PublishedRow.value, PublishedRow.number)
    rank = func.row_number().over(partition_by=(PublishedRow.metric, PublishedRow.nfe), order_by=order)
    ranked = select(PublishedRow.number, rank.label("rank")).where(PublishedRow.model_id == model_id)
    if metric is not None:
        ranked = ranked.where(PublishedRow.metric == metric)
    if until is not None:
        ranked = ranked.where(PublishedRow.created <= until)
    first = ranked.subquery()
    query = select(PublishedRow).join(first, first.c.number == PublishedRow.number).where(first.c.rank == 1)
    return query.order_by(PublishedRow.metric, PublishedRow.nfe)


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


def check_number(name: str, value: int, low: int, high: int = MAX_NUMBER) -> None:
    """Raise `InvalidInput` unless ``value`` is a whole number from ``low`` to ``high``."""
    if type(value) is not int or not low <= value <= high:
        raise InvalidInput(f"{name} is a whole number from {low} to {high}, got {value!r}")
