"""Results from outside: what a pipeline's user found where its weights are."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from api import submission
from api.deps import TheStore
from api.errors import problems
from api.replies import ValueRoute
from api.schemas import PublicationIn
from api.shapes import answer
from fewstep.values.codec import decode
from fewstep.values.publication import Publication
from fewstep.values.published import Published
from storage.publications import Publications

__all__ = ["router"]

router = APIRouter(prefix="/v1/results", tags=["schedules"], route_class=ValueRoute)

EXISTING: dict[int | str, dict[str, Any]] = {
    200: {"description": "The result was there already", "model": answer(Published)}
}


@router.post("", status_code=201, responses={**EXISTING, **problems(409, 413, 415, 422)})
def publish_result(body: Annotated[PublicationIn, Body()], store: TheStore, response: Response) -> Published:
    """Publish the result of a search that ran elsewhere, as `fewstep tune` does: the service serves it like its own.

    The model comes with it, without weights: its source is "pipeline", and searches of it are refused. The same result
    again gives the same answer. `Location` says where the result is.
    """
    publication = decode(Publication, body, strict=True)
    submission.check_name(publication.model.name)
    published, is_new = Publications(store).add(publication)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/v1/searches/{published.search}/result"
    return published
