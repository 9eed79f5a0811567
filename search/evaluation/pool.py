"""The protocol of a pool, and the simplest one: everything at once in this process."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from fewstep.errors import FewstepError
from fewstep.search.evaluation.evaluator import Evaluator

__all__ = ["InlinePool", "Pool", "WorkerLost"]

P = ParamSpec("P")
T = TypeVar("T")


class WorkerLost(FewstepError):
    """The worker died or ran out of time on every attempt; the message says why and how often."""


class Pool(Protocol):
    """Evaluator slots of one model.

    ``submit(function, *arguments)`` runs ``function(evaluator, *arguments)`` in a free slot. The future carries the
    result, the function's own exception, or `WorkerLost` where the slot died on every attempt. Results never depend on
    the number of slots. ``metrics`` is the folder with the operator's features and references, if any.
    """

    @property
    def metrics(self) -> Path | None: ...

    def submit(
        self, function: Callable[Concatenate[Evaluator, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]: ...


class InlinePool:
    """One slot in this very process: `submit` returns when the work is done."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    @property
    def metrics(self) -> Path | None:
        """The evaluator's own folder."""
        return self._evaluator.metrics

    def submit(self, function: Callable[Concatenate[Evaluator, P], T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``function(evaluator, *args)`` now; its outcome lies in the future."""
        future: Future[T] = Future()
        try:
            future.set_result(function(self._evaluator, *args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future
