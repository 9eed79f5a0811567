"""Grids that a search measured on its model."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.deps import Identity, TheStore
from api.errors import problems
from api.replies import NOT_MODIFIED, IfNoneMatch, with_etag
from api.schemas import GridOut
from fewstep.grids.arc_length import BLEND
from fewstep.grids.measured import MeasuredGrid
from fewstep.values.problem import MAX_NFE

__all__ = ["router"]

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("/{id}/grid", response_model=GridOut, responses={**NOT_MODIFIED, **problems(404, 422)})
def grid(
    id: Identity,
    store: TheStore,
    nfe: Annotated[int, Query(ge=1, le=MAX_NFE, description="Network calls for a sample")],
    blend: Annotated[float, Query(ge=0, le=1, description="1: score-optimal alone; 0: even in log-SNR")] = BLEND,
    match: IfNoneMatch = None,
) -> Response:
    """The score-optimal grid of `nfe` calls, from the curve that the first search of the model measured.

    The same document as `fewstep grid` writes. Until a search has measured the model, the answer is 404.
    """
    content = MeasuredGrid.of(store.curve(id), id, nfe, blend).to_json()
    return with_etag(content, hashlib.sha256(content.encode()).hexdigest(), match, "no-cache")
