"""Events of a search."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fewstep.values.search import TERMINAL

__all__ = ["Event"]


@dataclass(frozen=True)
class Event:
    """A change or progress of the search of id ``search``. Ids rise with time; a search's events become visible in
    the order of their ids. ``kind`` is one of:

    | kind | data |
    |---|---|
    | ``state`` | ``state``; also ``reason`` where it failed or was requeued |
    | ``phase`` | ``phase``, ``done``, ``total`` |
    | ``trial`` | ``number``, ``origin``, ``value``, ``standard_error``, ``noises``, ``predicted``, ``best`` (so far) |
    | ``published`` | ``digest``, ``nfe``, ``ratio`` |

    ``created`` is None in the events of the service's stream.
    """

    id: int
    search: str
    kind: str
    data: dict[str, Any]
    created: datetime | None = None

    @property
    def final(self) -> bool:
        """Whether it is the search's last event."""
        return self.kind == "state" and self.data["state"] in TERMINAL
