"""Spawned worker processes on this machine, one for each slot; a crash or a timeout costs one task, not the pool."""

import gc
import queue
from collections import OrderedDict
from collections.abc import Callable, MutableSequence, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import torch
from pebble import ProcessExpired, ProcessPool

from fewstep.errors import InvalidInput
from fewstep.models.reference import ModelReference
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.pool import Host, WorkerLost
from fewstep.search.evaluation.watch import TASK_SECONDS, Watch

__all__ = ["LocalPool", "ModelPool", "open_local"]

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS = 3  # a task that kills its worker this often is poison
START_SECONDS = 120.0  # more, that a new worker may take until it has the model
LOOK_SECONDS = 1.0  # between two looks at a worker's signs of life
MAX_SLOTS = 1024
MODELS_HELD = 4  # per worker, least recently used first out


class _Slot:
    """One spawned worker on a device; a new one, with new pipes, takes the place of one that was lost."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._worker = self._spawn()

    def _spawn(self) -> ProcessPool:
        context = get_context("spawn")
        self._pulse: MutableSequence[float] = context.RawArray("d", 2)  # signs of life, seconds of the longest call
        settings = (self._device, self._pulse)
        return ProcessPool(max_workers=1, initializer=_start, initargs=settings, context=context)

    def run(self, function: Callable[..., T], args: tuple[Any, ...], timeout: float) -> T:
        """The result, or the function's own exception; raises `WorkerLost` where the worker died, or was silent for
        longer than ``timeout`` seconds (`fewstep.search.evaluation.watch`)."""
        pulse, before = self._pulse, self._pulse[0]
        watch = Watch(timeout, START_SECONDS)
        try:
            future = self._worker.schedule(function, args=args)
        except RuntimeError as error:  # of the pool, which runs nothing any more
            self.replace()
            raise WorkerLost("the worker died before the task began") from error
        while not wait([future], min(LOOK_SECONDS, timeout / 4)).done:
            if watch.expired(int(pulse[0] - before), pulse[1]):
                self.replace()
                raise WorkerLost(f"no result and no network call within {watch.allowed(pulse[1]):g} s")
        try:
            result: T = future.result()
            return result
        except ProcessExpired as error:
            raise WorkerLost(f"worker {error.pid} died with exit code {error.exitcode}") from error
        except BrokenProcessPool as error:  # it died between two tasks, with its hand on the pipe
            self.replace()
            raise WorkerLost("the worker died before the task began") from error

    def replace(self) -> None:
        """Start afresh."""
        self.stop()
        self._worker = self._spawn()

    def stop(self) -> None:
        """End the worker at once."""
        self._worker.stop()  # type: ignore[no-untyped-call]
        self._worker.join()


class LocalPool:
    """``devices`` names a torch device for each slot ("cpu" as often as wanted, "cuda:0", …).

    A CPU slot computes on one thread, whatever the number of slots, so that results are the same on any number of them.
    A task is lost where its worker makes no network call for ``timeout`` seconds
    (`fewstep.search.evaluation.watch.Watch`); ``metrics`` is the folder with the operator's features and references.
    Use as a context manager, or `close` it.
    """

    def __init__(
        self,
        devices: Sequence[str] = ("cpu",),
        cache: Path | None = None,
        timeout: float = TASK_SECONDS,
        metrics: Path | None = None,
    ) -> None:
        if not devices:
            raise InvalidInput("a pool wants at least one device, for instance ('cpu',)")
        self.cache, self.metrics = cache, metrics
        self._timeout, self._closed = timeout, False
        self._slots = [_Slot(device) for device in devices]
        self._free: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        for slot in self._slots:
            self._free.put(slot)
        self._threads = ThreadPoolExecutor(len(devices), thread_name_prefix="slot")

    def __len__(self) -> int:
        return len(self._slots)

    def model(self, reference: ModelReference) -> "ModelPool":
        """The pool's slots, working on one model."""
        return ModelPool(self, reference)

    def run(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Run a picklable ``function(*args)`` in a free slot's process."""
        return self._threads.submit(self._run, function, args)

    def _run(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        slot, attempt, reason = self._free.get(), 0, ""
        try:
            while attempt < ATTEMPTS and not self._closed:
                attempt += 1
                try:
                    return slot.run(function, args, self._timeout)
                except WorkerLost as error:
                    reason = str(error)
            raise WorkerLost(f"{reason or 'the pool was closed'}, in attempt {attempt} of {ATTEMPTS}")
        finally:
            self._free.put(slot)

    def close(self) -> None:
        """Stop at once: queued tasks are cancelled, workers end."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for slot in self._slots:
            slot.stop()
        self._threads.shutdown(wait=True)
        for slot in self._slots:  # one that was being replaced meanwhile
            slot.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_local(
    rest: str, cache: Path | None = None, metrics: Path | None = None, timeout: float = TASK_SECONDS
) -> LocalPool:
    """The pool of a URL "local:…" on this machine.

    | URL | slots |
    |---|---|
    | ``local:4`` | four on the CPU |
    | ``local:cuda`` | one on every GPU |
    | ``local:cuda:0,cuda:1`` | one on each device that is named |

    Raises `InvalidInput` for another URL, and where a GPU is asked for that is not there.
    """
    here = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if rest.isascii() and rest.isdigit():
        devices = ["cpu"] * int(rest)
    elif rest == "cuda":
        devices = here
    else:
        devices = rest.split(",")
    missing = [device for device in devices if device not in ("cpu", *here)]
    if missing or not 1 <= len(devices) <= MAX_SLOTS:
        raise InvalidInput(
            f"a pool on this machine is local:N with N from 1 to {MAX_SLOTS} CPU slots, local:cuda for every GPU, or "
            f"local:cuda:0,cuda:1 by name; got local:{rest[:80]}, and the GPUs here are {', '.join(here) or 'none'}"
        )
    return LocalPool(devices, cache, timeout, metrics)


class ModelPool:
    """A `Pool` whose evaluators hold one model; each worker loads it on first use."""

    def __init__(self, pool: Host, reference: ModelReference) -> None:
        self._pool, self._reference = pool, reference

    def submit(self, function: Callable[Concatenate[Evaluator, P], T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``function(evaluator, *args)`` in a free slot; see `fewstep.search.evaluation.pool.Pool`."""
        pool = self._pool
        return pool.run(_work, self._reference, pool.cache, pool.metrics, function, args, kwargs)


_device = "cpu"
_pulse: MutableSequence[float] = [0.0, 0.0]


def _start(device: str, pulse: MutableSequence[float] | None = None) -> None:
    """First thing in a worker: remember its device, and where it gives signs of life; one thread, so that sums are
    always made in the same order."""
    global _device, _pulse
    _device, _pulse = device, _pulse if pulse is None else pulse
    torch.set_num_threads(1)


def _beat(seconds: float = 0.0) -> None:
    """A sign of life, after a call of so many seconds."""
    _pulse[1] = max(_pulse[1], seconds)
    _pulse[0] += 1


_held: OrderedDict[tuple[ModelReference, Path | None, Path | None], Evaluator] = OrderedDict()


def _evaluator(reference: ModelReference, cache: Path | None, metrics: Path | None) -> Evaluator:
    """The evaluator of a model, of those that were used last; an old one is given up before a new one is loaded."""
    key = (reference, cache, metrics)
    if key not in _held:
        while len(_held) >= MODELS_HELD:
            _held.popitem(last=False)
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        denoiser, shape = reference.open(_device)
        _held[key] = Evaluator(denoiser, shape, reference.digest, cache, _device, metrics=metrics, beat=_beat)
    _held.move_to_end(key)
    return _held[key]


def _work(
    reference: ModelReference,
    cache: Path | None,
    metrics: Path | None,
    function: Callable[..., T],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> T:
    evaluator = _evaluator(reference, cache, metrics)
    _beat()  # what a new worker takes for the model is not the task's
    return function(evaluator, *args, **kwargs)
