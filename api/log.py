"""One line of log per request, an id to find it by, and the answer to what nobody expected."""

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
    """Send the log to standard error, as ``settings`` asks. For the process's entry point: it is global."""
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
    """Middleware: gives each request an id (``X-Request-ID``), logs it, and turns a surprise into a plain 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        identity, started, status = uuid.uuid4().hex, time.perf_counter(), 0
        log = structlog.get_logger("api").bind(request=identity, method=scope["method"], path=scope["path"])

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", identity.encode())]
            await send(message)

        try:
            await self.app(scope, receive, note)
        except Exception:
            log.exception("request failed")
            if status:  # the answer is under way: cutting it short is the only honest end
                raise
            answer = problem(500, f"the service is at fault, not the request; the log has it as request {identity}")
            await answer(scope, receive, note)
        finally:
            milliseconds = round(1000 * (time.perf_counter() - started), 1)
            log.info("request", status=status, milliseconds=milliseconds)
