"""Keeping a lease alive while its work goes on, and the word that ends it."""

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
    """The runner was asked to stop: what it works on goes back to where it was claimed."""


class Heartbeat:
    """Calls ``beat`` at a third of the lease's length, in a thread of its own, for as long as the context lasts, and
    touches the file ``alive`` each time."""

    def __init__(self, beat: Callable[[], None], lease: float, alive: Path) -> None:
        self._beat, self._lease, self._alive = beat, lease, alive
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def _run(self) -> None:
        while not self._over.wait(self._lease / 3):
            self._alive.touch()
            try:
                self._beat()
            except LeaseLost:
                return  # whatever the work reports next says so too, and ends it
            except Exception:
                log.exception("heartbeat failed")  # the next one may get through

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
