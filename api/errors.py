"""Every error as problem+json (RFC 9457): what was given, what was wanted, what to do."""

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
UNREADABLE = "There was an error parsing the body"  # the framework's word for what no JSON parser takes
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
MOST_FAULTS = 10  # a body of a megabyte must not be answered with ten


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
    """The answer that says why. ASCII throughout, so that whatever the caller sent can be quoted."""
    title = HTTPStatus(status).phrase
    content = ProblemDetails(title=title, status=status, detail=detail, errors=list(faults))
    return Response(json.dumps(content.model_dump(exclude_none=True)), status, headers, MEDIA_TYPE)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route's OpenAPI entry says about the errors it may answer with."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {status: {"description": WHEN[status], "content": content} for status in statuses}


def install(app: FastAPI) -> None:
    """Make ``app`` answer every error with problem+json."""
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    for kind in STATUS:
        app.add_exception_handler(kind, _on_fewstep)


async def _on_fewstep(request: Request, error: Exception) -> Response:
    status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
    return problem(status, str(error), headers={"Retry-After": "5"} if status == 503 else None)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers, detail, path = dict(error.headers or {}), error.detail, reprlib.repr(request.url.path)
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
        position, reason = first["loc"][-1], first["ctx"]["error"]
        return problem(400, f"the body is not JSON: {reason} at character {position}")
    if isinstance(error.body, bytes) and error.body:
        given = reprlib.repr(request.headers.get("content-type", "no Content-Type"))
        return problem(415, f"the body is wanted as JSON, got {given}: send the header Content-Type: application/json")
    faults = [_fault(item) for item in error.errors()[:MOST_FAULTS]]
    words = [f"{f.where}: {f.detail}" + (f", got {f.given}" if f.given is not None else "") for f in faults]
    left = len(error.errors()) - len(faults)
    return problem(422, "; ".join(words) + (f"; and {left} more" if left else ""), faults)


def _fault(item: dict[str, Any]) -> Fault:
    where = ".".join(str(part)[:40] for part in item["loc"])
    given = None if item["type"] == "missing" else reprlib.repr(item["input"])
    return Fault(where=where, detail=item["msg"].removeprefix("Value error, "), given=given)
