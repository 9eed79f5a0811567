"""Shares of a cluster's slots: every runner reports how many it could use and is told how many it may hold."""

import time
from collections.abc import Mapping

__all__ = ["Shares", "divide"]

SILENT_SECONDS = 15.0  # after which a runner that reports nothing has no share


def divide(slots: int, wanted: Mapping[str, int]) -> dict[str, int]:
    """Divide ``slots`` so that nobody with a smaller share could get more, by taking from a larger one, than it wants.

    What nobody wants is divided evenly too, so that workers stay warm. The first names get what does not come out even.

    >>> divide(8, {"a": 100, "b": 2, "c": 0})
    {'a': 6, 'b': 2, 'c': 0}
    >>> divide(8, {"a": 100, "b": 100, "c": 1})
    {'a': 4, 'b': 3, 'c': 1}
    >>> divide(5, {"a": 1, "b": 0})
    {'a': 3, 'b': 2}
    """
    shares = dict.fromkeys(wanted, 0)
    left = max(slots, 0)
    for limits in (wanted, dict.fromkeys(wanted, slots)):
        while left and (open_ := [name for name in shares if shares[name] < limits[name]]):
            least = min(shares[name] for name in open_)
            for name in [name for name in open_ if shares[name] == least][:left]:
                shares[name] += 1
                left -= 1
    return shares


class Shares:
    """The reports of the runners of one cluster, as an actor on it holds them; a new one has them again in seconds."""

    def __init__(self) -> None:
        self._reports: dict[str, tuple[int, float]] = {}  # name -> (slots wanted, time)

    def report(self, name: str, wanted: int, slots: int) -> int:
        """How many of the cluster's ``slots`` the runner ``name``, which could use ``wanted``, may hold from now on."""
        now = time.monotonic()
        self._reports[name] = wanted, now
        self._reports = {name: each for name, each in self._reports.items() if now - each[1] < SILENT_SECONDS}
        return divide(slots, {name: self._reports[name][0] for name in sorted(self._reports)})[name]

    def leave(self, name: str) -> None:
        """Forget a runner that stops."""
        self._reports.pop(name, None)
