"""Workers that only sleep, for `benchmarks.scale`: a module that a slot imports without torch."""

import os
import time

__all__ = ["nap", "start", "who"]


def start(settings: object, pulse: object) -> None:
    """Nothing to prepare."""


def nap(seconds: float) -> None:
    """One simulated evaluation."""
    time.sleep(seconds)


def who(seconds: float) -> int:
    """The slot's process, after a nap that keeps it from the next task."""
    time.sleep(seconds)
    return os.getpid()
