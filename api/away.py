"""Models whose files this machine lacks: their work is left to other runners for a while, then looked at again."""

import time
from collections.abc import Callable

__all__ = ["Away"]

SECONDS = 60.0  # before this runner looks for such a model again


class Away:
    """The models that are away, by id.

    >>> now = [0.0]
    >>> away = Away(clock=lambda: now[0])
    >>> away.add("a")
    >>> away.models()
    {'a'}
    >>> now[0] = 61.0
    >>> away.models()
    set()
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def add(self, model: str) -> None:
        """Leave a model to others from now on."""
        self._until[model] = self._clock() + SECONDS

    def models(self) -> set[str]:
        """Those that are left to others now."""
        self._until = {model: until for model, until in self._until.items() if until > self._clock()}
        return set(self._until)
