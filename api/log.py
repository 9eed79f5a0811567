"""Logging: its configuration, one line per request with an id, and the 500 of unexpected errors."""

import sys
import time
import uuid
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem
from api.settings import Settings

__all__ = ["RequestLog", "configure"]

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(settings: Settings) -> None:
    """Configure the log of the process, to standard error, with the level and the format of ``settings``."""
    renderer: Any = structlog.processors.JSONRenderer()
    if settings.log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,  # plain: the renderers' own would print local variables, secrets too
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[settings.log_level]),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


class RequestLog:
    """Middleware: gives each request an id (``X-Request-ID``), logs it, and turns an unexpected error into a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request_id = uuid.uuid4().hex
        start = time.perf_counter()
        status = 0
        log = structlog.get_logger("api").bind(request=request_id, method=scope["method"], path=scope["path"])

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            log.exception("request failed")
            if status:  # the answer has begun: it can only be cut short
                raise
            answer = problem(500, f"the service is at fault, not the request; the log has it as request {request_id}")
            await answer(scope, receive, send_with_id)
        finally:
            milliseconds = round(1000 * (time.perf_counter() - start), 1)
            log.info("request", status=status, milliseconds=milliseconds)
