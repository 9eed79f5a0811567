"""Middleware that protects the service, which has no authentication: host names, origins, headers, size of bodies.

A page in the user's own browser can reach a loopback address. It is kept from reading (a rebound DNS name arrives in
``Host``) and from changing anything (a foreign ``Origin``).
"""

import ipaddress
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem
from api.settings import Settings

__all__ = ["HEADERS", "BodyLimit", "Guard", "SecureHeaders"]

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
SAFE = ("GET", "HEAD", "OPTIONS")


class SecureHeaders:
    """Middleware: adds the headers that an answer does not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


class Guard:
    """Middleware: refuses requests under a name that public DNS could have led here, and changes from other sites."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        origin = headers.get("origin")
        if not (self.settings.allow_public or host_name(host) == self.settings.host or is_private_name(host)):
            detail = f"this service does not answer to the name {host[:80]!r}: use its address, 127.0.0.1 or localhost"
            await problem(400, detail)(scope, receive, send)
        elif scope["method"] not in SAFE and origin is not None and _authority(origin) != host:
            detail = f"a page from {origin[:80]!r} may not change anything at {host[:80]!r}"
            await problem(403, detail)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class BodyLimit:
    """Middleware: refuses a body over ``max_bytes`` with 413, by its declared length or by the bytes that arrive.

    ``exceptions`` maps paths with another limit to it.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, exceptions: Mapping[str, int] = MappingProxyType({})) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.exceptions = exceptions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        max_bytes = self.exceptions.get(scope["path"], self.max_bytes)
        reason = f"a body has at most {max_bytes} bytes"
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isascii() and declared.isdigit() and int(declared[:20]) > max_bytes:
            await problem(413, f"{reason}, got {int(declared[:20])}")(scope, receive, send)
            return
        size = 0

        async def receive_within_limit() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > max_bytes:
                raise HTTPException(413, f"{reason}, got more: the connection sent {size} so far")
            return message

        await self.app(scope, receive_within_limit, send)


def host_name(host: str) -> str:
    """A ``Host`` header without its port.

    >>> host_name("localhost:8471"), host_name("[::1]:8471")
    ('localhost', '::1')
    """
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def is_private_name(host: str) -> bool:
    """Whether no public DNS entry can stand behind a ``Host`` header: an address, or a name without dots.

    >>> is_private_name("127.0.0.1:8471"), is_private_name("localhost"), is_private_name("evil.example:8471")
    (True, True, False)
    """
    name = host_name(host)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name
    return True


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
