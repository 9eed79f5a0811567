"""A search's events as they are written, from the store's events table."""

from collections.abc import AsyncIterator

import anyio
from fastapi.sse import ServerSentEvent
from starlette.concurrency import run_in_threadpool

from fewstep.errors import NotFound
from fewstep.values.search import TERMINAL, Search
from storage.store import MAX_PAGE, Store

__all__ = ["follow"]


async def follow(store: Store, search: Search, after: int, poll: float) -> AsyncIterator[ServerSentEvent]:
    """Events of ``search`` with ids above ``after``: those that are there, then news, looked for each ``poll`` seconds.

    Ends after the event that ends the search, or at once where the caller has seen that one already or the search is
    deleted. Breaks off where the database fails: the caller comes back with the last id.
    """
    while True:
        try:
            batch = await run_in_threadpool(store.events, search.id, after=after, limit=MAX_PAGE)
        except NotFound:
            return
        for event in batch:
            yield ServerSentEvent(id=str(event.id), event=event.kind, data=event.data)
            after = event.id
            if event.kind == "state" and event.data["state"] in TERMINAL:
                return
        if not batch:
            if search.state in TERMINAL:  # as it was when the caller came: its last event is one of those seen
                return
            await anyio.sleep(poll)
