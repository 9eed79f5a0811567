"""A ceiling for request bodies, held against the bytes that arrive and not only against the length declared."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem

__all__ = ["BodyCap"]


class BodyCap:
    """Middleware: a body over ``most`` bytes is answered with 413, before it is read where its length is declared."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        reason, taken = f"a body has at most {self.most} bytes", 0
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if declared.isdigit() and int(declared[:20]) > self.most:
            await problem(413, f"{reason}, got {int(declared[:20])}")(scope, receive, send)
            return

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.most:
                raise HTTPException(413, f"{reason}, got more: the connection sent {taken} so far")
            return message

        await self.app(scope, counted, send)
