"""Heartbeats: a thread that extends a lease while its work goes on, and the exception that stops the work."""

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from fewstep.errors import FewstepError
from storage.lease import LeaseLost

__all__ = ["Heartbeat", "Stopped"]

log = structlog.get_logger()


class Stopped(FewstepError):
    """The runner has to stop: its claim goes back to the queue."""


class Heartbeat:
    """Calls ``beat`` at a third of the lease's length, in a thread of its own, for as long as the context lasts, and
    touches the file ``alive`` each time."""

    def __init__(self, beat: Callable[[], None], lease: float, alive: Path) -> None:
        self._beat = beat
        self._lease = lease
        self._alive = alive
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def _run(self) -> None:
        while not self._stop.wait(self._lease / 3):
            self._alive.touch()
            try:
                self._beat()
            except LeaseLost:
                return  # the next record of the work raises it too, and ends the work
            except Exception:
                log.exception("heartbeat failed")  # the next one may get through

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
