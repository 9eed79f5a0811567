"""Error responses as problem+json (RFC 9457): the value received, what is expected, the remedy."""

import json
import reprlib
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from fewstep.errors import Conflict, FewstepError, InvalidInput, NotFound, ServiceError

__all__ = ["Fault", "ProblemDetails", "install", "problem", "problems"]

MEDIA_TYPE = "application/problem+json"
STATUS: dict[type[FewstepError], int] = {InvalidInput: 422, NotFound: 404, Conflict: 409, ServiceError: 503}
WHEN = {
    400: "The body is not JSON or was cut short, or the request was sent under a name that is not this service's",
    403: "A page of another site may not change anything here, or the operator does not allow this source of models",
    404: "There is no such thing",
    409: "The state of the thing forbids the request",
    413: "The body is too large",
    415: "The body is not declared as what it should be: JSON, or multipart/form-data for an upload",
    422: "A value is missing, unknown or out of range; `errors` names each one",
    500: "The service is at fault; the log knows more under the request's id",
    503: "The database does not answer; retry later",
}
UNREADABLE = "There was an error parsing the body"  # the framework's message where its JSON parser fails
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
MAX_FAULTS = 10  # else a large body of faults would get a larger answer


class Fault(BaseModel):
    """One value that cannot be used: where it is, what is wrong with it and what it was."""

    where: str = Field(examples=["body.nfe"])
    detail: str = Field(examples=["Input should be less than or equal to 50"])
    given: str | None = Field(None, examples=["10000"])


class ProblemDetails(BaseModel):
    """Why a request failed, as RFC 9457 has it."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["body.nfe: Input should be less than or equal to 50, got 10000"])
    errors: list[Fault] = []


def problem(status: int, detail: str, faults: Sequence[Fault] = (), headers: dict[str, str] | None = None) -> Response:
    """An error response; ASCII throughout, so that it can quote whatever the caller sent."""
    title = HTTPStatus(status).phrase
    content = ProblemDetails(title=title, status=status, detail=detail, errors=list(faults))
    return Response(json.dumps(content.model_dump(exclude_none=True)), status, headers, MEDIA_TYPE)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries of the error responses of a route."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {status: {"description": WHEN[status], "content": content} for status in statuses}


def install(app: FastAPI) -> None:
    """Register the handlers that make every error response of ``app`` problem+json."""
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    for kind in STATUS:
        app.add_exception_handler(kind, _on_fewstep)


async def _on_fewstep(request: Request, error: Exception) -> Response:
    status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
    return problem(status, str(error), headers={"Retry-After": "5"} if status == 503 else None)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    detail = error.detail
    path = reprlib.repr(request.url.path)
    if error.status_code == 404:
        detail = f"there is nothing at {path}: /openapi.json lists the paths"
    elif error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed(request))  # the framework names the methods of one route only
        detail = f"{request.method} is not possible at {path}; possible: {headers['Allow']}"
    elif detail == UNREADABLE:
        detail = "the body cannot be read as JSON: send one JSON value, in UTF-8, without extreme nesting or numbers"
    return problem(error.status_code, detail, headers=headers)


def _allowed(request: Request) -> list[str]:
    """The methods that some route takes at the request's path."""
    routes = request.app.router.routes
    scopes = {method: {**request.scope, "method": method} for method in METHODS}
    return [name for name, scope in scopes.items() if any(r.matches(scope)[0] is Match.FULL for r in routes)]


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        position = first["loc"][-1]
        reason = first["ctx"]["error"]
        return problem(400, f"the body is not JSON: {reason} at character {position}")
    if isinstance(error.body, bytes) and error.body:
        media_type = reprlib.repr(request.headers.get("content-type", "no Content-Type"))
        detail = f"the body is wanted as JSON, got {media_type}: send the header Content-Type: application/json"
        return problem(415, detail)
    faults = [_fault(item) for item in error.errors()[:MAX_FAULTS]]
    messages = [f"{f.where}: {f.detail}" + (f", got {f.given}" if f.given is not None else "") for f in faults]
    omitted = len(error.errors()) - len(faults)
    if omitted:
        messages.append(f"and {omitted} more")
    return problem(422, "; ".join(messages), faults)


def _fault(item: dict[str, Any]) -> Fault:
    where = ".".join(str(part)[:40] for part in item["loc"])
    value = None if item["type"] == "missing" else reprlib.repr(item["input"])
    return Fault(where=where, detail=item["msg"].removeprefix("Value error, "), given=value)
