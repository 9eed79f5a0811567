"""A search's events from the lines of a stream of server-sent events."""

import json
from collections.abc import Iterable, Iterator

from fewstep.values.event import Event

__all__ = ["read_events"]


def read_events(search: str, lines: Iterable[str]) -> Iterator[Event]:
    """Server-sent events from lines of text; comments and events without an id are passed over."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
            continue
        if "id" in fields:
            yield Event(int(fields["id"]), search, fields["event"], json.loads(fields["data"]))
        fields = {}
