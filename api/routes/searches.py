"""Searches: submit, look, steer, follow."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.deps import NAME, Identity, TheCatalogue, TheJobs, TheSearch, TheSettings, TheStore
from api.errors import problems
from api.events import follow
from api.published_schemas import PublishedOut
from api.schemas import SearchesOut, SearchIn, SearchOut, TrialOut, TrialsOut
from storage.store import MAX_KEY, MAX_PAGE
from storage.values import SearchState

__all__ = ["router"]

router = APIRouter(prefix="/v1/searches", tags=["searches"])

MAX_EVENT = 2**63 - 1  # the widths of the columns that hold these numbers
MAX_TRIAL = 2**31 - 1

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=MAX_KEY,
        pattern=r"^[\x21-\x7e]+$",
        description="Sent again with the same body, the key gives the same search; with another body, 409",
    ),
]
LastEvent = Annotated[
    int, Header(alias="Last-Event-ID", ge=0, le=MAX_EVENT, description="Only events after this one are sent")
]


@router.post("", status_code=202, responses=problems(404, 409, 413, 415, 422))
def submit(body: SearchIn, store: TheStore, catalogue: TheCatalogue, response: Response, key: Key = None) -> SearchOut:
    """Queue a search. The answer comes at once; `Location` says where to look."""
    problem = body.problem()
    catalogue.check(problem.measures, store.model(problem.model).shape)
    search = store.submit(problem, key=key, priority=body.priority)
    response.headers["Location"] = f"/v1/searches/{search.id}"
    return SearchOut.of(search)


@router.get("", responses=problems(422))
def list_searches(
    store: TheStore,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    cursor: Annotated[str | None, Query(max_length=200, pattern=NAME, description="`next` of the page before")] = None,
    state: SearchState | None = None,
    model: Annotated[str | None, Query(max_length=100, pattern=NAME, description="A model's id")] = None,
) -> SearchesOut:
    """Searches, newest first, page by page."""
    page = store.searches(limit=limit, cursor=cursor, state=state, model=model)
    return SearchesOut(items=[SearchOut.of(search) for search in page.items], next=page.next)


@router.get("/{id}", responses=problems(404, 422))
def get_search(search: TheSearch) -> SearchOut:
    """One search."""
    return SearchOut.of(search)


@router.get("/{id}/result", responses=problems(404, 422))
def get_result(id: Identity, store: TheStore) -> PublishedOut:
    """What the search found; 404 until it has succeeded."""
    return PublishedOut.of(store.result(id))


@router.post("/{id}/pause", responses=problems(404, 409, 422))
def pause(id: Identity, jobs: TheJobs) -> SearchOut:
    """Stop a search and keep its place; 409 once it is finished."""
    return SearchOut.of(jobs.pause(id))


@router.post("/{id}/resume", responses=problems(404, 409, 422))
def resume(id: Identity, jobs: TheJobs) -> SearchOut:
    """Queue a paused search again; 409 once it is finished."""
    return SearchOut.of(jobs.resume(id))


@router.post("/{id}/cancel", responses=problems(404, 409, 422))
def cancel(id: Identity, jobs: TheJobs) -> SearchOut:
    """End a search for good; 409 once it has succeeded or failed."""
    return SearchOut.of(jobs.cancel(id))


@router.get("/{id}/trials", responses=problems(404, 422))
def list_trials(
    id: Identity,
    store: TheStore,
    after: Annotated[int, Query(ge=-1, le=MAX_TRIAL, description="`next` of the page before")] = -1,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
) -> TrialsOut:
    """Schedules evaluated so far, by number."""
    found = store.trials(id, after, limit + 1)
    more = found[limit - 1].number if len(found) > limit else None
    return TrialsOut(items=[TrialOut.of(trial) for trial in found[:limit]], next=more)


@router.get("/{id}/events", response_class=EventSourceResponse, responses=problems(404, 422))
async def events(
    search: TheSearch, store: TheStore, settings: TheSettings, last_event: LastEvent = 0
) -> AsyncIterator[ServerSentEvent]:
    """What happens to a search, as server-sent events, from the first or after `Last-Event-ID`.

    Each has the event's `id`, its kind as `event` (state, phase, trial, published) and its fields as JSON `data`.
    The stream ends after the state that ends the search.
    """
    async for event in follow(store, search, last_event, settings.poll_seconds):
        yield event
