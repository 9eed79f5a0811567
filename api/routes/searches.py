"""Searches: submit, list, control, follow."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.deps import NAME, Identity, TheCatalogue, TheJobs, TheSearch, TheSettings, TheStore
from api.errors import problems
from api.replies import ValueRoute, event_stream
from api.schemas import SearchIn
from api.shapes import answer
from fewstep.values.codec import encode
from fewstep.values.cost_card import check_limit, cost_card
from fewstep.values.estimate import Estimate
from fewstep.values.page import Page
from fewstep.values.published import Published
from fewstep.values.search import Search, SearchState
from fewstep.values.trial import Trial
from storage.store import MAX_KEY, MAX_PAGE

__all__ = ["router"]

router = APIRouter(prefix="/v1/searches", tags=["searches"], route_class=ValueRoute)

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


SearchOut, EstimateOut = answer(Search), answer(Estimate)
DRY_RUN: dict[int | str, dict[str, Any]] = {
    200: {"model": EstimateOut | list[EstimateOut], "description": "With `dry_run`: what it would cost"}  # type: ignore[valid-type]
}


@router.post(
    "",
    status_code=202,
    response_model=SearchOut | list[SearchOut],  # type: ignore[valid-type]
    responses={**DRY_RUN, **problems(404, 409, 413, 415, 422)},
)
def submit(
    body: SearchIn,
    store: TheStore,
    catalogue: TheCatalogue,
    key: Key = None,
    dry_run: Annotated[bool, Query(description="Check everything and say what it costs, but store nothing")] = False,
) -> Response:
    """Queue a search, or one for each `nfe` of a list, fewest calls first. The answer comes at once; of one search,
    `Location` says where to look."""
    asked = body.problems()
    model = store.ready_model(asked[0].model) if dry_run else store.model(asked[0].model)
    for problem in asked:
        catalogue.check(problem.objectives, model.shape)
        check_limit(problem)
    several = isinstance(body.nfe, list)
    if dry_run:
        passes, seconds = model.facts.passes or 1, model.facts.seconds_per_call
        estimates = [Estimate(each, cost_card(each, passes, seconds), store.expected_ratio(each)) for each in asked]
        return JSONResponse(encode(estimates if several else estimates[0]))
    searches = store.submit_all(asked, key=key, priority=body.priority)
    if several:
        return JSONResponse(encode(searches), 202)
    return JSONResponse(encode(searches[0]), 202, {"Location": f"/v1/searches/{searches[0].id}"})


@router.get("", responses=problems(422))
def list_searches(
    store: TheStore,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    cursor: Annotated[str | None, Query(max_length=200, pattern=NAME, description="`next` of the page before")] = None,
    state: SearchState | None = None,
    model: Annotated[str | None, Query(max_length=100, pattern=NAME, description="A model's id")] = None,
) -> Page[Search, str]:
    """Searches, newest first, page by page."""
    return store.searches(limit=limit, cursor=cursor, state=state, model=model)


@router.get("/{id}", responses=problems(404, 422))
def get_search(search: TheSearch) -> Search:
    """One search."""
    return search


@router.get("/{id}/result", responses=problems(404, 422))
def get_result(id: Identity, store: TheStore) -> Published:
    """What the search found; 404 until it has succeeded."""
    return store.result(id)


@router.post("/{id}/pause", responses=problems(404, 409, 422))
def pause(id: Identity, jobs: TheJobs) -> Search:
    """Stop a search and keep its place; 409 once it is finished."""
    return jobs.pause(id)


@router.post("/{id}/resume", responses=problems(404, 409, 422))
def resume(id: Identity, jobs: TheJobs) -> Search:
    """Queue a paused search again; 409 once it is finished."""
    return jobs.resume(id)


@router.post("/{id}/cancel", responses=problems(404, 409, 422))
def cancel(id: Identity, jobs: TheJobs) -> Search:
    """End a search for good; 409 once it has succeeded or failed."""
    return jobs.cancel(id)


@router.get("/{id}/trials", responses=problems(404, 422))
def list_trials(
    id: Identity,
    store: TheStore,
    after: Annotated[int, Query(ge=-1, le=MAX_TRIAL, description="`next` of the page before")] = -1,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
) -> Page[Trial, int]:
    """Schedules evaluated so far, by number."""
    trials = store.trials(id, after, limit + 1)
    next_number = trials[limit - 1].number if len(trials) > limit else None
    return Page(trials[:limit], next_number)


@router.get("/{id}/events", response_class=EventSourceResponse, responses=problems(404, 422))
async def events(
    search: TheSearch, store: TheStore, settings: TheSettings, last_event: LastEvent = 0
) -> AsyncIterator[ServerSentEvent]:
    """What happens to a search, as server-sent events, from the first or after `Last-Event-ID`.

    Each has the event's `id`, its kind as `event` (state, phase, trial, published) and its fields as JSON `data`.
    The stream ends after the state that ends the search.
    """
    async for event in event_stream(store, search, last_event, settings.poll_seconds):
        yield event
