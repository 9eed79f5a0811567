"""The log of events: what the event stream and the audit read."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fewstep.values.search import SearchState
from storage.tables import EventRow

__all__ = ["ran", "readable", "write_event"]


def readable(text: str) -> str:
    """The text with whatever cannot be stored shown as question marks: for reasons, which must never be refused."""
    return text.replace("\0", "?").encode("utf-8", "replace").decode()


def write_event(session: Session, search_id: str, kind: str, data: dict[str, Any], now: datetime) -> None:
    """Write an event in the caller's transaction, so that it is seen exactly if the change is.

    The caller holds the search's row (or has just made it): that is why a search's events become visible in the order
    of their ids.
    """
    session.add(EventRow(search_id=search_id, kind=kind, data=data, created=now))


def ran(session: Session, search_id: str) -> float:
    """How many seconds a search was running, by the states that the log tells of; waiting and pauses do not count."""
    query = select(EventRow.data, EventRow.created).where(EventRow.search_id == search_id, EventRow.kind == "state")
    total, since = 0.0, None
    for data, created in session.execute(query.order_by(EventRow.id)):
        total += 0.0 if since is None else (created - since).total_seconds()
        since = created if data["state"] == SearchState.RUNNING else None
    return total
