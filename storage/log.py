"""The log of events: what the event stream and the audit read."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from storage.codec import dump
from storage.tables import EventRow

__all__ = ["write_event"]


def write_event(session: Session, search_id: str, kind: str, data: dict[str, Any], now: datetime) -> None:
    """Write an event in the caller's transaction, so that it is seen exactly if the change is.

    The caller holds the search's row (or has just made it): that is why a search's events become visible in the order
    of their ids.
    """
    session.add(EventRow(search_id=search_id, kind=kind, data=dump(data), created=now))
