"""What a Ray actor does: one slot that runs one task after the other. Importing it imports neither torch nor ray."""

from collections.abc import Callable, MutableSequence
from typing import Any

from fewstep.search.evaluation.slots import SlotSettings

__all__ = ["SIGNS", "RaySlot"]

SIGNS = "signs"  # the concurrency group, with a thread of its own, in which `RaySlot.signs` is called


class RaySlot:
    """One slot: ``start(settings, pulse)`` runs first. What gives a sign of life adds 1 to ``pulse[0]`` and leaves the
    seconds of the longest call in ``pulse[1]``."""

    def __init__(self, start: Callable[[SlotSettings, MutableSequence[float]], None], settings: SlotSettings) -> None:
        self._start, self._settings = start, settings
        self._pulse = [0.0, 0.0]

    def begin(self) -> str:
        """Start, in the thread that is to run the tasks: OpenMP has a number of threads for each. Returns the identity
        of the node where the slot is."""
        import ray

        self._start(self._settings, self._pulse)
        node: str = ray.get_runtime_context().get_node_id()
        return node

    def run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[bool, Any]:
        """Whether ``function(*args)`` succeeded; and its result, or its own exception."""
        try:
            return True, function(*args)
        except Exception as error:
            error.__traceback__ = None
            return False, error
        finally:
            self._pulse[0] = 0.0

    def signs(self) -> tuple[int, float]:
        """Signs of life of the task that runs, and the seconds of the longest call so far."""
        return int(self._pulse[0]), self._pulse[1]
