"""Time limit of a task: how long its worker may be silent.

A worker gives a sign of life after every call of the network, so a task may have as many calls as it likes, of a model
as slow as it likes. It is lost where nothing came for a number of seconds, or for many times the longest call so far
where that is more.
"""

import time
from collections.abc import Callable

__all__ = ["FACTOR", "TASK_SECONDS", "Watch"]

TASK_SECONDS = 600.0  # of silence
FACTOR = 20.0  # times the longest call so far
START_SECONDS = 120.0  # more, that a new worker may take until it has the model
LOOK_SECONDS = 1.0  # between two looks at a worker's signs of life, at most


class Watch:
    """Whether a worker has been silent for too long; ``seconds`` are allowed, and ``starting`` more before its first
    sign.

    >>> now = [0.0]
    >>> watch = Watch(600.0, 120.0, lambda: now[0])
    >>> now[0] = 719.0
    >>> watch.expired(signs=0, longest=0.0)
    False
    >>> now[0] = 721.0
    >>> watch.expired(signs=0, longest=0.0)
    True
    """

    def __init__(
        self, seconds: float, starting: float = START_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._starting, self._clock = seconds, starting, clock
        self._signs = 0
        self._since = clock()
        self.look = min(LOOK_SECONDS, seconds / 4)  # seconds between two looks

    def allowed(self, longest: float) -> float:
        """Seconds of silence that are allowed where the longest call so far took so many."""
        return max(self._seconds, FACTOR * longest)

    def expired(self, signs: int, longest: float) -> bool:
        """Whether it has been silent too long, with so many signs of life of this task so far."""
        now = self._clock()
        if signs != self._signs:
            self._signs, self._since = signs, now
        return now - self._since > self.allowed(longest) + (0.0 if signs else self._starting)

    def silence(self, longest: float) -> str:
        """What is said of a task that was lost."""
        return f"no result and no network call within {self.allowed(longest):g} s"
