"""Pools of evaluators: the protocol of one model's slots, that of their host, and the simplest pool, in this process.

A host is opened by a URL. Its scheme is an entry of `POOLS`, to which a package adds its own by an entry point of the
group ``fewstep.pools``; what follows the scheme is the host's to read (`open_local` of
`fewstep.search.evaluation.local_pool`).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

from fewstep.errors import FewstepError, ServiceError
from fewstep.models.reference import ModelReference
from fewstep.registry import Registry
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.watch import TASK_SECONDS

__all__ = ["POOLS", "Host", "InlinePool", "Open", "Pool", "PoolLost", "WorkerLost", "WorkerPool", "groups", "open_pool"]

P = ParamSpec("P")
T = TypeVar("T")


class WorkerLost(FewstepError):
    """The worker died or ran out of time on every attempt; the message says why and how often."""


class PoolLost(ServiceError):
    """The whole pool is gone, as when a cluster's head died: open it again, then resume the search by its log."""


class Host(Protocol):
    """What runs tasks for the evaluators of one model: ``run``, with its folders of teachers and of metrics."""

    cache: Path | None
    metrics: Path | None

    def run(self, function: Callable[..., T], *args: Any) -> Future[T]: ...


class Pool(Protocol):
    """Evaluator slots of one model.

    ``submit(function, *arguments)`` runs ``function(evaluator, *arguments)`` in a free slot. The future carries the
    result, the function's own exception, or `WorkerLost` where the slot died on every attempt. Results never depend on
    the number of slots.
    """

    def submit(
        self, function: Callable[Concatenate[Evaluator, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]: ...


class WorkerPool(Protocol):
    """A host of slots, on this machine or on many, each of which works for one model after the other.

    Its length is the number of slots, once they are known. Use it as a context manager, or `close` it.
    """

    def __len__(self) -> int: ...

    def model(self, reference: ModelReference) -> Pool:
        """The slots, working on one model."""

    def run(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Run a picklable ``function(*args)`` in a free slot, without any model."""

    def busy(self) -> list[float]:
        """Seconds in which each slot has run tasks so far, in the slots' order; those of a running task included."""

    def close(self) -> None:
        """Stop at once: waiting tasks are cancelled, running ones are lost."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


Open = Callable[[str, Path | None, Path | None, float], WorkerPool]
"""``open(rest of the URL, folder of teachers, folder of the operator's features and references, seconds that the worker
of a task may be silent)``"""

POOLS: Registry[Open] = Registry(
    "pool",
    "fewstep.pools",
    {
        "local": "fewstep.search.evaluation.local_pool:open_local",
        "ray": "fewstep.search.evaluation.ray_url:open_ray",
    },
)
"""What opens a host, by the scheme of its URL."""


def open_pool(
    url: str, cache: Path | None = None, metrics: Path | None = None, timeout: float = TASK_SECONDS
) -> WorkerPool:
    """The host of a URL such as "local:4", "local:cuda?per_gpu=2" or "ray://head:6379".

    ``cache`` is the folder where teachers are kept, ``metrics`` the one with the operator's features and references,
    ``timeout`` how many seconds the worker of a task may be silent (`fewstep.search.evaluation.watch`).
    Raises `UnknownName` for a scheme that is not in `POOLS`, and `InvalidInput` where the rest makes no pool.
    """
    scheme, _, rest = url.partition(":")
    return POOLS[scheme](rest, cache, metrics, timeout)


class InlinePool:
    """One slot in this very process: `submit` returns when the work is done.

    ``side_by_side``: there are no other slots to keep busy, so that schedules are best observed together.
    """

    side_by_side = True

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def submit(self, function: Callable[Concatenate[Evaluator, P], T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``function(evaluator, *args)`` now; its outcome lies in the future."""
        future: Future[T] = Future()
        try:
            future.set_result(function(self._evaluator, *args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def groups(pool: Pool, items: Sequence[T]) -> list[list[T]]:
    """Items of work by task: one each, or all in one where there are no other slots to keep busy.

    >>> groups(InlinePool(None), "ab"), groups(None, "ab")
    ([['a', 'b']], [['a'], ['b']])
    """
    if items and getattr(pool, "side_by_side", False):
        return [list(items)]
    return [[item] for item in items]
