"""Something that happened to a search."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fewstep.values.search import TERMINAL

__all__ = ["Event"]


@dataclass(frozen=True)
class Event:
    """Something that happened to the search of id ``search``. Ids rise with time; a search's events become visible in
    the order of their ids. ``kind`` is one of:

    | kind | data |
    |---|---|
    | ``state`` | ``state``; also ``reason`` where it failed or was requeued |
    | ``phase`` | ``phase``, ``done``, ``total`` |
    | ``trial`` | ``number``, ``origin``, ``value``, ``standard_error``, ``noises``, ``predicted``, ``best`` (so far) |
    | ``published`` | ``digest``, ``nfe``, ``ratio`` |

    ``created`` is None in what a stream of the service tells.
    """

    id: int
    search: str
    kind: str
    data: dict[str, Any]
    created: datetime | None = None

    @property
    def final(self) -> bool:
        """Whether it ends the search: no event comes after it."""
        return self.kind == "state" and self.data["state"] in TERMINAL
