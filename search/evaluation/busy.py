"""Busy seconds of a slot: how long it has run tasks."""

import time
from collections.abc import Callable

__all__ = ["Busy"]


class Busy:
    """Seconds in which a slot has run tasks, one after the other; its thread enters it, any thread may read it.

    >>> now = [0.0]
    >>> busy = Busy(lambda: now[0])
    >>> with busy:
    ...     now[0] = 3.0
    ...     busy.seconds()
    3.0
    >>> now[0] = 10.0
    >>> busy.seconds()
    3.0
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Of earlier tasks, and the start of the one that runs; replaced as a whole, since other threads read it.
        self._state: tuple[float, float | None] = (0.0, None)

    def __enter__(self) -> None:
        self._state = (self._state[0], self._clock())

    def __exit__(self, *_: object) -> None:
        self._state = (self.seconds(), None)

    def seconds(self) -> float:
        """Seconds so far, those of a task that runs now included."""
        earlier, since = self._state
        return earlier if since is None else earlier + self._clock() - since
