"""The event log of searches, which event streams and audits read."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fewstep.values.search import SearchState
from storage.tables import EventRow

__all__ = ["seconds_running", "storable", "write_event"]


def storable(text: str) -> str:
    """The text with question marks for characters that databases refuse: a reason must always be stored."""
    return text.replace("\0", "?").encode("utf-8", "replace").decode()


def write_event(session: Session, search_id: str, kind: str, data: dict[str, Any], now: datetime) -> None:
    """Write an event in the caller's transaction, so that it is visible if and only if the change is.

    The caller holds the lock of the search's row (or has just inserted it), so that a search's events become visible in
    the order of their ids.
    """
    session.add(EventRow(search_id=search_id, kind=kind, data=data, created=now))


def seconds_running(session: Session, search_id: str) -> float:
    """The seconds that a search was in the state running, by its events; waiting and pauses do not count."""
    query = select(EventRow.data, EventRow.created).where(EventRow.search_id == search_id, EventRow.kind == "state")
    total = 0.0
    since = None
    for data, created in session.execute(query.order_by(EventRow.id)):
        total += 0.0 if since is None else (created - since).total_seconds()
        since = created if data["state"] == SearchState.RUNNING else None
    return total
