"""One actor of a Ray pool, as the pool sees it: it begins, runs one task at a time, and is watched meanwhile."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fewstep.search.evaluation.pool import WorkerLost
from fewstep.search.evaluation.ray_cluster import first_line
from fewstep.search.evaluation.ray_slot import SIGNS
from fewstep.search.evaluation.watch import Watch

__all__ = ["POLL_SECONDS", "RayWorker"]

POLL_SECONDS = 0.5


class RayWorker:
    """The driver's end of a `RaySlot`; ``actor`` is Ray's handle of it. A lost one is of no more use: kill it."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self._task: Any = None  # the reference of the one that runs
        self.node = ""  # its node's identity, once it has begun

    @property
    def running(self) -> bool:
        """Whether it runs a task."""
        return self._task is not None

    def begin(self, unwanted: Callable[[], bool]) -> None:
        """Return when it is ready for tasks. Raises `WorkerLost` as soon as it is ``unwanted()``, and what
        hindered it where it could not begin."""
        ready = self._actor.begin.remote()
        while not self._ray.wait([ready], timeout=POLL_SECONDS)[0]:
            if unwanted():
                raise WorkerLost("not wanted any more")
        self.node = self._get(ready)

    def run(
        self, function: Callable[..., Any], args: tuple[Any, ...], watch: Watch, stopped: Callable[[], bool]
    ) -> tuple[bool, Any]:
        """What `RaySlot.run` returns. Raises `WorkerLost` where the actor died, was silent for longer than ``watch``
        allows, or the pool has ``stopped()``; and what hindered the task's way there, or its result's way back."""
        try:
            self._task = self._actor.run.remote(function, args)
            self._wait(watch, stopped)
            outcome: tuple[bool, Any] = self._get(self._task)
            return outcome
        except self._ray.exceptions.RayError as error:
            raise WorkerLost(f"the worker died: {first_line(error)}") from error
        finally:
            self._task = None

    def _get(self, reference: Any) -> Any:
        """What a method returned; raises its own error, and Ray's where the actor died."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause or error from None

    def _wait(self, watch: Watch, stopped: Callable[[], bool]) -> None:
        """Return when the task is done. An actor that does not answer for its signs has given none."""
        signs, longest, asked = 0, 0.0, None
        while not self._ray.wait([self._task], timeout=watch.look)[0]:
            if stopped():
                raise WorkerLost("the pool has stopped")
            if asked is not None and self._ray.wait([asked], timeout=0)[0]:
                signs, longest = self._ray.get(asked)
                asked = None
            if watch.expired(signs, longest):
                raise WorkerLost(watch.silence(longest))
            if asked is None:
                asked = self._actor.signs.options(concurrency_group=SIGNS).remote()

    def cancel(self) -> None:
        """Ask the task to stop, which it may find out by Ray's ``is_canceled``."""
        if self._task is not None:
            with suppress(Exception):
                self._ray.cancel(self._task)

    def kill(self) -> None:
        """End the actor at once."""
        with suppress(Exception):
            self._ray.kill(self._actor)
