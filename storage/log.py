"""The log of events: what the event stream and the audit read."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.codec import dump
from storage.tables import EventRow
from storage.values import SearchState

__all__ = ["ran", "write_event"]


def write_event(session: Session, search_id: str, kind: str, data: dict[str, Any], now: datetime) -> None:
    """Write an event in the caller's transaction, so that it is seen exactly if the change is.

    The caller holds the search's row (or has just made it): that is why a search's events become visible in the order
    of their ids.
    """
    session.add(EventRow(search_id=search_id, kind=kind, data=dump(data), created=now))


def ran(session: Session, search_id: str) -> float:
    """How many seconds a search was running, by the states that the log tells of; waiting and pauses do not count."""
    query = select(EventRow.data, EventRow.created).where(EventRow.search_id == search_id, EventRow.kind == "state")
    total, since = 0.0, None
    for data, created in session.execute(query.order_by(EventRow.id)):
        total += 0.0 if since is None else (created - since).total_seconds()
        since = created if json.loads(data)["state"] == SearchState.RUNNING else None
    return total
