"""Answers that the caller may have already: ETags and 304 (RFC 9110, weak comparison)."""

from typing import Annotated, Any

from fastapi import Header, Response

__all__ = ["UNCHANGED", "IfNoneMatch", "tagged"]

IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", max_length=4000)]
UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "What the caller has is current"}}


def tagged(content: str, tag: str, match: str | None, cache: str) -> Response:
    """The JSON content under its ETag, or 304 where ``match``, the caller's If-None-Match, names it already."""
    headers = {"ETag": f'"{tag}"', "Cache-Control": cache}
    known = {item.strip().removeprefix("W/") for item in (match or "").split(",")}
    if known & {"*", f'"{tag}"'}:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type="application/json")
