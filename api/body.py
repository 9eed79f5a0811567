"""A ceiling for request bodies, held against the bytes that arrive and not only against the length declared."""

from collections.abc import Mapping
from types import MappingProxyType

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem

__all__ = ["BodyCap"]


class BodyCap:
    """Middleware: a body over ``most`` bytes is answered with 413, before it is read where its length is declared.

    ``larger`` maps the paths that take more to how much they take.
    """

    def __init__(self, app: ASGIApp, most: int, larger: Mapping[str, int] = MappingProxyType({})) -> None:
        self.app, self.most, self.larger = app, most, larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        most = self.larger.get(scope["path"], self.most)
        reason, taken = f"a body has at most {most} bytes", 0
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if declared.isdigit() and int(declared[:20]) > most:
            await problem(413, f"{reason}, got {int(declared[:20])}")(scope, receive, send)
            return

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise HTTPException(413, f"{reason}, got more: the connection sent {taken} so far")
            return message

        await self.app(scope, counted, send)
