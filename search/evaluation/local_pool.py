"""Spawned worker processes on this machine, one for each slot; a crash or a timeout costs one task, not the pool."""

import gc
import queue
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, MutableSequence, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import torch
from pebble import ProcessExpired, ProcessPool
from threadpoolctl import threadpool_limits

from fewstep.errors import InvalidInput
from fewstep.models.reference import ModelReference
from fewstep.search.evaluation.busy import Busy
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.pool import Host, WorkerLost
from fewstep.search.evaluation.slots import COUNT, MAX_SLOTS, SLOT_OPTIONS, SlotSettings, read_options, slot_settings
from fewstep.search.evaluation.watch import TASK_SECONDS, Watch

__all__ = ["LocalPool", "ModelPool", "local_slots", "open_local"]

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS = 3  # a task that kills its worker this often is poison


class _Slot:
    """One spawned worker; a new one, with new pipes, takes the place of one that was lost."""

    def __init__(self, settings: SlotSettings) -> None:
        self._settings = settings
        self.busy = Busy()
        self._worker = self._spawn()

    def _spawn(self) -> ProcessPool:
        context = get_context("spawn")
        self._pulse: MutableSequence[float] = context.RawArray("d", 2)  # signs of life, seconds of the longest call
        first = (self._settings, self._pulse)
        return ProcessPool(max_workers=1, initializer=_start, initargs=first, context=context)

    def run(self, function: Callable[..., T], args: tuple[Any, ...], timeout: float) -> T:
        """The result, or the function's own exception; raises `WorkerLost` where the worker died, or was silent for
        longer than ``timeout`` seconds (`fewstep.search.evaluation.watch`)."""
        pulse, before = self._pulse, self._pulse[0]
        watch = Watch(timeout)
        try:
            future = self._worker.schedule(function, args=args)
        except RuntimeError as error:  # of the pool, which runs nothing any more
            self.replace()
            raise WorkerLost("the worker died before the task began") from error
        while not wait([future], watch.look).done:
            if watch.expired(int(pulse[0] - before), pulse[1]):
                self.replace()
                raise WorkerLost(watch.silence(pulse[1]))
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
    """A worker process for each of ``slots``: its settings, or the name of a torch device ("cpu", "cuda:0").

    A slot computes on one CPU thread unless its settings say otherwise, whatever the number of slots, so that results
    are the same on any number of them. A task goes to the first slot that is idle, which has the model already where
    any has. It is lost where its worker makes no network call for ``timeout`` seconds
    (`fewstep.search.evaluation.watch.Watch`); ``metrics`` is the folder with the operator's features and references.
    Use as a context manager, or `close` it.
    """

    def __init__(
        self,
        slots: Sequence[SlotSettings | str] = ("cpu",),
        cache: Path | None = None,
        timeout: float = TASK_SECONDS,
        metrics: Path | None = None,
    ) -> None:
        if not slots:
            raise InvalidInput("a pool wants at least one device, for instance ('cpu',)")
        self.cache, self.metrics = cache, metrics
        self._timeout, self._closed = timeout, False
        self._slots = [_Slot(SlotSettings(each) if isinstance(each, str) else each) for each in slots]
        self._free: queue.PriorityQueue[int] = queue.PriorityQueue()
        for index in range(len(slots)):
            self._free.put(index)
        self._threads = ThreadPoolExecutor(len(slots), thread_name_prefix="slot")

    def __len__(self) -> int:
        return len(self._slots)

    def model(self, reference: ModelReference) -> "ModelPool":
        """The pool's slots, working on one model."""
        return ModelPool(self, reference)

    def run(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Run a picklable ``function(*args)`` in a free slot's process."""
        return self._threads.submit(self._run, function, args)

    def busy(self) -> list[float]:
        """Seconds in which each slot has run tasks so far, in the slots' order."""
        return [slot.busy.seconds() for slot in self._slots]

    def _run(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        index = self._free.get()
        slot, attempt, reason = self._slots[index], 0, ""
        try:
            with slot.busy:
                while attempt < ATTEMPTS and not self._closed:
                    attempt += 1
                    try:
                        return slot.run(function, args, self._timeout)
                    except WorkerLost as error:
                        reason = str(error)
            raise WorkerLost(f"{reason or 'the pool was closed'}, in attempt {attempt} of {ATTEMPTS}")
        finally:
            self._free.put(index)

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

    def __exit__(self, *_: object) -> None:
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
    | ``local:8?threads=2`` | eight on the CPU, of two threads each |
    | ``local:cuda?per_gpu=4&gpu_memory=0.2&models=1`` | four on every GPU: a fifth of its memory, one model |

    Options after "?": ``per_gpu``, slots on each GPU (1), and those of `fewstep.search.evaluation.slots`. Where several
    slots share a GPU, ``gpu_memory`` is an equal part unless it is given.
    Raises `InvalidInput` for another URL, and where a GPU is asked for that is not there.
    """
    return LocalPool(local_slots(rest), cache, timeout, metrics)


def local_slots(rest: str) -> list[SlotSettings]:
    """The settings of the slots of a URL "local:…", in their order. Raises as `open_local` does."""
    place, _, query = rest.partition("?")
    options = read_options(query, {"per_gpu": COUNT, **SLOT_OPTIONS})
    here = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if re.fullmatch("[0-9]{1,4}", place):
        devices = ["cpu"] * int(place)
    else:
        devices = here if place == "cuda" else place.split(",")
    gpus = [device for device in devices if device in here]
    if len(gpus) + devices.count("cpu") < len(devices) or not 1 <= len(devices) <= MAX_SLOTS:
        raise InvalidInput(
            f"a pool on this machine is local:N with N from 1 to {MAX_SLOTS} CPU slots, local:cuda for every GPU, or "
            f"local:cuda:0,cuda:1 by name; got local:{rest[:80]}, and the GPUs here are {', '.join(here) or 'none'}"
        )
    of_gpus = [name for name in ("per_gpu", "gpu_memory") if name in options]
    if of_gpus and not gpus:
        raise InvalidInput(f"{' and '.join(of_gpus)} want slots on GPUs, got local:{rest[:80]} with slots on the CPU")
    devices += gpus * (options.get("per_gpu", 1) - 1)
    if len(devices) > MAX_SLOTS:
        raise InvalidInput(f"a pool on this machine has at most {MAX_SLOTS} slots, got {len(devices)}")
    return [_on(device, options, devices.count(device)) for device in devices]


def _on(device: str, options: Mapping[str, Any], sharing: int) -> SlotSettings:
    """The settings of one of so many slots on a device."""
    if device == "cpu":
        return slot_settings(device, {name: value for name, value in options.items() if name != "gpu_memory"})
    settings = slot_settings(device, options)
    return settings if settings.gpu_memory or sharing == 1 else replace(settings, gpu_memory=1 / sharing)


class ModelPool:
    """A `Pool` whose evaluators hold one model; each worker loads it on first use."""

    def __init__(self, pool: Host, reference: ModelReference) -> None:
        self._pool, self._reference = pool, reference

    def submit(self, function: Callable[Concatenate[Evaluator, P], T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``function(evaluator, *args)`` in a free slot; see `fewstep.search.evaluation.pool.Pool`."""
        pool = self._pool
        return pool.run(_work, self._reference, pool.cache, pool.metrics, function, args, kwargs)


_settings = SlotSettings()
_pulse: MutableSequence[float] = [0.0, 0.0]


def _start(settings: SlotSettings, pulse: MutableSequence[float]) -> None:
    """First thing in a worker, in the thread of its tasks: remember its settings, and where it gives signs of life;
    as many threads as they say, so that sums are always made in the same order."""
    global _settings, _pulse
    _settings, _pulse = settings, pulse
    torch.set_num_threads(settings.threads)
    threadpool_limits(settings.threads, "blas")  # NumPy's own threads, as many as there are cores
    if settings.gpu_memory is not None:
        torch.cuda.set_per_process_memory_fraction(float(settings.gpu_memory), torch.device(settings.device).index)


def _beat(seconds: float = 0.0) -> None:
    """A sign of life, after a call of so many seconds."""
    _pulse[1] = max(_pulse[1], seconds)
    _pulse[0] += 1


_held: OrderedDict[tuple[ModelReference, Path | None, Path | None], Evaluator] = OrderedDict()


def _evaluator(reference: ModelReference, cache: Path | None, metrics: Path | None) -> Evaluator:
    """The evaluator of a model, of those that were used last; an old one is given up before a new one is loaded."""
    key = (reference, cache, metrics)
    if key not in _held:
        while len(_held) >= _settings.models:
            _held.popitem(last=False)
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        device = _settings.device
        denoiser, shape = reference.open(device)
        _held[key] = Evaluator(denoiser, shape, reference.digest, cache, device, metrics=metrics, beat=_beat)
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
