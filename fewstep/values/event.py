"""Events of a search."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fewstep.values.origin import Origin
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
    | ``trial`` | ``number``, ``origin``, ``value``, ``standard_error``, ``noises``, ``predicted``, ``best`` |
    | ``published`` | ``digest``, ``nfe``, ``ratio``; also ``version`` of fewstep where it came from outside |

    ``best`` is the incumbent's value. A trial's event has the ``stage`` of its origin as well; one that was written
    before there was such a field gets it when it is made. ``created`` is None in the events of the service's stream.

    >>> Event(1, "a-search", "trial", {"number": 0, "origin": "baseline ddim time"}).data["stage"]
    'baselines'
    """

    id: int
    search: str
    kind: str
    data: dict[str, Any]
    created: datetime | None = None

    def __post_init__(self) -> None:
        if self.kind == "trial" and "stage" not in self.data:
            data = {**self.data, "stage": Origin.parse(self.data["origin"]).stage}
            object.__setattr__(self, "data", data)

    @property
    def final(self) -> bool:
        """Whether it is the search's last event."""
        return self.kind == "state" and self.data["state"] in TERMINAL
