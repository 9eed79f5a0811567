"""What keeps other sites out while the service asks nobody who they are: names, origins and response headers.

A page in the user's own browser can reach a loopback address. It is kept from reading (a rebound DNS name arrives in
``Host``) and from changing anything (a foreign ``Origin``).
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem
from api.settings import Settings

__all__ = ["HEADERS", "Guard", "SecureHeaders"]

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
        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, secured)


class Guard:
    """Middleware: refuses requests under a name that public DNS could have led here, and changes from other sites."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        asked = Headers(scope=scope)
        host, origin = asked.get("host", ""), asked.get("origin")
        if not (self.settings.allow_public or host_name(host) == self.settings.host or is_private_name(host)):
            detail = f"this service does not answer to the name {host[:80]!r}: use its address, 127.0.0.1 or localhost"
            await problem(400, detail)(scope, receive, send)
        elif scope["method"] not in SAFE and origin is not None and _authority(origin) != host:
            detail = f"a page from {origin[:80]!r} may not change anything at {host[:80]!r}"
            await problem(403, detail)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


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
