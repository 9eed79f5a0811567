"""How the API replies: values as JSON, documents under an ETag, and events as a stream."""

from collections.abc import AsyncIterator, Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Annotated, Any, get_type_hints

import anyio
from fastapi import Header, Response
from fastapi.datastructures import Default, DefaultPlaceholder
from fastapi.routing import APIRoute
from fastapi.sse import ServerSentEvent
from starlette.concurrency import run_in_threadpool

from api.shapes import shape
from fewstep.errors import NotFound
from fewstep.values.codec import encode
from fewstep.values.search import TERMINAL, Search
from storage.store import MAX_PAGE, Store

__all__ = ["NOT_MODIFIED", "IfNoneMatch", "ValueRoute", "event_stream", "with_etag"]

IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", max_length=4000)]
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "What the caller has is current"}}


class ValueRoute(APIRoute):
    """A route whose endpoint returns a value or a list of values: JSON and OpenAPI shape follow from their fields.

    Any other endpoint stays as it is.
    """

    def __init__(
        self, path: str, endpoint: Callable[..., Any], *, response_model: Any = Default(None), **options: Any
    ) -> None:
        annotation = get_type_hints(endpoint).get("return")
        if isinstance(response_model, DefaultPlaceholder) and annotation is not shape(annotation):
            response_model = shape(annotation)
            endpoint = _encoder(endpoint)
        super().__init__(path, endpoint, response_model=response_model, **options)


def _encoder(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """The endpoint, returning the JSON of its value."""
    if iscoroutinefunction(endpoint):

        @wraps(endpoint)
        async def encode_awaited(*arguments: Any, **options: Any) -> Any:
            return encode(await endpoint(*arguments, **options))

        return encode_awaited

    @wraps(endpoint)
    def encode_returned(*arguments: Any, **options: Any) -> Any:
        return encode(endpoint(*arguments, **options))

    return encode_returned


def with_etag(content: str, etag: str, if_none_match: str | None, cache_control: str) -> Response:
    """The JSON content under its ETag, or 304 where the caller has it already (RFC 9110, weak comparison)."""
    headers = {"ETag": f'"{etag}"', "Cache-Control": cache_control}
    callers_etags = {item.strip().removeprefix("W/") for item in (if_none_match or "").split(",")}
    if callers_etags & {"*", f'"{etag}"'}:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type="application/json")


async def event_stream(store: Store, search: Search, after: int, poll: float) -> AsyncIterator[ServerSentEvent]:
    """Events of ``search`` with ids above ``after``: those in the store, then new ones, polled every ``poll`` seconds.

    Ends after the event that ends the search, or at once where that event is not above ``after`` or the search is
    deleted. Breaks off where the database fails: the caller reconnects with the last id.
    """
    while True:
        try:
            batch = await run_in_threadpool(store.events, search.id, after=after, limit=MAX_PAGE)
        except NotFound:
            return
        for event in batch:
            yield ServerSentEvent(id=str(event.id), event=event.kind, data=event.data)
            after = event.id
            if event.final:
                return
        if not batch:
            if search.state in TERMINAL:  # ``search`` is older than this stream: its last event is not above ``after``
                return
            await anyio.sleep(poll)
