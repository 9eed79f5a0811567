"""Queue of tasks with a lane for each search: whoever takes tasks serves the lanes in turn."""

import threading
from collections import deque
from typing import Generic, TypeVar

__all__ = ["Lanes"]

Task = TypeVar("Task")


class Lanes(Generic[Task]):
    """Tasks in lanes, first in, first out within a lane; the lanes take turns, so that a long one delays no other.

    >>> tasks = Lanes[str]()
    >>> for lane, task in enumerate(["a1", "a2", "b1"]):
    ...     tasks.put(lane // 2, task)
    >>> [tasks.get(0) for _ in range(4)]
    ['a1', 'b1', 'a2', None]
    """

    def __init__(self) -> None:
        self._lanes: dict[object, deque[Task]] = {}  # none of them empty; the next one first
        self._changed = threading.Condition()

    def __len__(self) -> int:
        with self._changed:
            return sum(map(len, self._lanes.values()))

    def put(self, lane: object, task: Task, first: bool = False) -> None:
        """Add a task at the end of its lane, or with ``first`` at its head."""
        with self._changed:
            tasks = self._lanes.setdefault(lane, deque())
            if first:
                tasks.appendleft(task)
            else:
                tasks.append(task)
            self._changed.notify()

    def get(self, seconds: float) -> Task | None:
        """The next task; None where none came within ``seconds``."""
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._lanes), seconds):
                return None
            lane = next(iter(self._lanes))
            tasks = self._lanes.pop(lane)
            task = tasks.popleft()
            if tasks:
                self._lanes[lane] = tasks
            return task

    def drain(self) -> list[Task]:
        """Take out all tasks that wait."""
        with self._changed:
            tasks = [task for lane in self._lanes.values() for task in lane]
            self._lanes.clear()
            return tasks
