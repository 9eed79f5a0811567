"""Published schedules: the front of a model, the best of at most some number of calls, one by its digest."""

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from api.deps import Digest, Identity, TheStore
from api.errors import problems
from api.replies import NOT_MODIFIED, IfNoneMatch, ValueRoute, with_etag
from api.schemas import Metric
from api.shapes import answer
from fewstep.values.codec import dump
from fewstep.values.objective import DEFAULT
from fewstep.values.problem import MAX_NFE
from fewstep.values.published import Published

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["schedules"], route_class=ValueRoute)

FOREVER = "public, max-age=31536000, immutable"  # a digest never means anything else


@router.get("/models/{id}/schedules", responses=problems(404, 422))
def front(id: Identity, store: TheStore, metric: Annotated[Metric | None, Query()] = None) -> list[Published]:
    """The best schedule of every number of calls, fewest first."""
    return store.front(id, metric)


@router.get(
    "/models/{id}/schedules/best", response_model=answer(Published), responses={**NOT_MODIFIED, **problems(404, 422)}
)
def best(
    id: Identity,
    store: TheStore,
    nfe: Annotated[int, Query(ge=1, le=MAX_NFE, description="Network calls that may be spent on a sample")],
    metric: Annotated[Metric, Query()] = DEFAULT,
    match: IfNoneMatch = None,
) -> Response:
    """The best schedule of at most `nfe` calls; its own `nfe` says how many it takes: fewer only where that is better
    by more than chance."""
    published = store.best(id, nfe, metric)
    etag = hashlib.sha256(f"{published.digest} {published.search}".encode()).hexdigest()
    return with_etag(dump(published), etag, match, "no-cache")


@router.get("/schedules/{digest}", response_model=dict[str, Any], responses={**NOT_MODIFIED, **problems(404, 422)})
def schedule(digest: Digest, store: TheStore, match: IfNoneMatch = None) -> Response:
    """The schedule of that digest, in fewstep's own JSON format: `Schedule.from_json` reads it."""
    return with_etag(store.schedule(digest).result.schedule.to_json(), digest, match, FOREVER)
