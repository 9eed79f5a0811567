"""Slots on a Ray cluster, one actor each: a lost worker costs one attempt of one task, a lost node none.

Needs ``pip install 'fewstep[ray]'``. Ray retries nothing: a task has as many attempts as on one machine. Its usage
statistics and its dashboard are off.
"""

import secrets
import threading
import time
from collections.abc import Callable, MutableSequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from fewstep.errors import InvalidInput
from fewstep.models.reference import ModelReference
from fewstep.search.evaluation.busy import Busy
from fewstep.search.evaluation.lanes import Lanes
from fewstep.search.evaluation.local_pool import ATTEMPTS, ModelPool, _start
from fewstep.search.evaluation.pool import PoolLost, WorkerLost
from fewstep.search.evaluation.ray_cluster import CALL_SECONDS, Need, connect, first_line, knock, shares_of
from fewstep.search.evaluation.ray_slot import SIGNS, RaySlot
from fewstep.search.evaluation.ray_worker import POLL_SECONDS, RayWorker
from fewstep.search.evaluation.slots import MAX_SLOTS, SlotSettings
from fewstep.search.evaluation.watch import LOOK_SECONDS, TASK_SECONDS, Watch

__all__ = ["RayPool"]

T = TypeVar("T")

NODE_LOSSES = 20  # of one task, with nodes that were lost or taken away; they are no attempts
REPORT_SECONDS = 1.0  # between two looks at the cluster's nodes and two reports of what is wanted
USED_SECONDS = 30.0  # that slots stay wanted after their last task
GRACE_SECONDS = 0.5  # for running tasks, between the request to stop and the end of their workers


@dataclass
class _Task:
    function: Callable[..., Any]
    args: tuple[Any, ...]
    lane: object
    future: Future[Any]
    attempts: int = 0
    losses: int = 0  # of nodes


@dataclass
class _Lane:
    """The tasks of one model, which take turns with those of other models."""

    pool: "RayPool"
    cache: Path | None
    metrics: Path | None

    def run(self, function: Callable[..., T], *args: Any) -> Future[T]:
        return self.pool.put(self, function, args)

    def __hash__(self) -> int:
        return id(self)


class RayPool:
    """Slots on the Ray cluster at ``address`` ("host:port"), or on one that is started on this machine.

    There are as many as the nodes have room for, at most ``slots``; they follow the cluster as it grows and shrinks.
    Where several runners share a cluster, each gets an even share of what it can use. ``need`` is what a slot takes (by
    default a GPU where the cluster has some, else a CPU), and ``slot`` what its worker does first (its device follows
    from ``need``). ``timeout`` is for how many seconds the worker of a task may be silent
    (`fewstep.search.evaluation.watch.Watch`), ``patience`` for how many the head, and ``wait`` for how many tasks may
    wait with no slot at all before the pool is lost. ``here`` is how many CPUs to start with on this machine and
    ``host`` the address its ports are bound to. ``start(settings, pulse)`` is called once in each worker (`RaySlot`).

    Futures raise `PoolLost` once the pool is lost. Use as a context manager, or `close` it.
    """

    def __init__(
        self,
        address: str | None = None,
        need: Need | None = None,
        slots: int | None = None,
        cache: Path | None = None,
        metrics: Path | None = None,
        *,
        slot: SlotSettings = SlotSettings(),
        timeout: float = TASK_SECONDS,
        patience: float = 30.0,
        wait: float = 600.0,
        here: float | None = None,
        host: str | None = None,
        start: Callable[[SlotSettings, MutableSequence[float]], None] = _start,
    ) -> None:
        self._ray, self._owned = connect(address, here, host)
        self.cache, self.metrics = cache, metrics
        self._timeout, self._patience, self._wait, self._start_slot = timeout, patience, wait, start
        self._name = secrets.token_hex(8)
        self._shared = address is not None
        self._closed = threading.Event()
        self._lost: PoolLost | None = None
        self._lock = threading.Lock()
        self._tasks = Lanes[_Task]()
        self._workers: set[RayWorker] = set()
        self._held = 0  # workers, and those that are being placed
        self._busy: list[Busy] = []  # of each thread that serves
        self._used = self._seen = self._placed_last = time.monotonic()
        self._peak = 0  # most tasks at once since `_used`
        self._reason = ""
        self._alive: set[str] = set()
        self._limit = slots or MAX_SLOTS
        resources = self._look()
        if need is None:
            need = Need(gpus=float(any(each.get("GPU", 0) >= 1 for each in resources)))
        self._need = need
        self._settings = need.settings(slot)
        self._slots = self._allowed = min(self._limit, sum(map(need.slots, resources)))
        if not self._slots and slots is None:
            self._disconnect()
            raise InvalidInput(
                f"the cluster has no node with room for a slot of {need}: say what a slot takes, or how many slots "
                "there will be (slots=8) where the cluster grows by itself"
            )
        self._slots = self._allowed = self._slots or self._limit
        self._head = self._ray.get_runtime_context().gcs_address
        self._actor = self._ray.remote(concurrency_groups={SIGNS: 1})(RaySlot).options(
            **need.options(), max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        )
        self._threads: list[threading.Thread] = []
        self._grow()
        for name, work in (("head", self._watch_head), ("cluster", self._watch_cluster)):
            self._spawn(f"ray-{name}", work)

    def __len__(self) -> int:
        return self._slots

    def model(self, reference: ModelReference) -> ModelPool:
        """The pool's slots, working on one model; models take turns."""
        return ModelPool(_Lane(self, self.cache, self.metrics), reference)

    def run(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Run a picklable ``function(*args)`` in a free slot's process."""
        return self.put(None, function, args)

    def busy(self) -> list[float]:
        """Seconds in which each slot has run tasks so far, in the order in which they came; those that the cluster has
        no more are among them."""
        return [busy.seconds() for busy in list(self._busy)]

    def put(self, lane: object, function: Callable[..., T], args: tuple[Any, ...]) -> Future[T]:
        """Run ``function(*args)`` when it is the lane's turn."""
        future: Future[T] = Future()
        if self._closed.is_set():
            raise RuntimeError("the pool was closed")
        self._tasks.put(lane, _Task(function, args, lane, future))
        if self._lost is not None:
            self._fail(self._lost)
        return future

    def close(self) -> None:
        """Stop at once: waiting tasks are cancelled, running ones asked to end, then their workers are killed."""
        if self._closed.is_set():
            return
        self._closed.set()
        for task in self._tasks.drain():
            task.future.cancel()
        if self._lost is None:
            for worker in self._running():
                worker.cancel()
            deadline = time.monotonic() + GRACE_SECONDS
            while self._running() and time.monotonic() < deadline:
                time.sleep(0.01)
        for worker in list(self._workers):
            self._kill(worker)
        deadline = time.monotonic() + 2 * LOOK_SECONDS
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
        self._disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Slots: a thread each, which holds a worker where the pool may hold one, and gives it a task at a time.

    def _spawn(self, name: str, work: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _grow(self) -> None:
        while len(self._busy) < min(self._slots, MAX_SLOTS):
            self._busy.append(Busy())
            self._spawn("ray-slot", self._serve, self._busy[-1])

    def _serve(self, busy: Busy) -> None:
        worker = None
        try:
            while not self._over():
                if worker is None:
                    if not self._permitted():
                        self._closed.wait(POLL_SECONDS)
                        continue
                    worker = self._place()
                elif self._surplus() or not self._serve_one(worker, busy):
                    self._release(worker)
                    worker = None
        finally:
            if worker is not None:
                self._release(worker)

    def _over(self) -> bool:
        return self._closed.is_set() or self._lost is not None

    def _permitted(self) -> bool:
        """Whether one more slot may be held, which it then is."""
        with self._lock:
            free = self._held < self._allowed
            self._held += free
            return free

    def _surplus(self) -> bool:
        return self._held > self._allowed

    def _place(self) -> RayWorker | None:
        """A new worker; None where the cluster could not start it or need not now."""
        worker = None
        try:
            worker = RayWorker(self._ray, self._actor.remote(self._start_slot, self._settings))
            worker.begin(lambda: self._over() or self._surplus())
        except Exception as error:
            if not isinstance(error, WorkerLost):
                self._reason = first_line(error)
            with self._lock:
                self._held -= 1
            if worker is not None:
                self._kill(worker)
            self._closed.wait(POLL_SECONDS)
            return None
        with self._lock:
            self._workers.add(worker)
        return worker

    def _release(self, worker: RayWorker) -> None:
        with self._lock:
            self._held -= 1
            self._placed_last = time.monotonic()
            self._workers.discard(worker)
        self._kill(worker)

    def _kill(self, worker: RayWorker) -> None:
        if self._lost is None:
            worker.kill()

    def _running(self) -> list[RayWorker]:
        return [worker for worker in list(self._workers) if worker.running]

    def _serve_one(self, worker: RayWorker, busy: Busy) -> bool:
        """Run the next task, if one comes soon; whether the worker is still good."""
        task = self._tasks.get(POLL_SECONDS)
        if task is None:
            return True
        if not task.future.running() and not task.future.set_running_or_notify_cancel():
            return True
        try:
            with busy:
                watch = Watch(self._timeout)
                succeeded, value = worker.run(task.function, task.args, watch, lambda: self._lost is not None)
        except WorkerLost as lost:
            self._again(task, str(lost), worker.node)
            return False
        except BaseException as unexpected:  # it could not be sent, or its result not come back
            task.future.set_exception(unexpected)
            return True
        if succeeded:
            task.future.set_result(value)
        else:
            task.future.set_exception(value)
        return True

    def _again(self, task: _Task, reason: str, node: str) -> None:
        """Queue a task whose worker was lost once more, or fail it."""
        if self._lost is not None:
            task.future.set_exception(self._lost)
            return
        if not self._closed.is_set() and self._node_lost(node) and task.losses < NODE_LOSSES:
            task.losses += 1
        else:
            task.attempts += 1
        if self._closed.is_set():
            task.future.set_exception(WorkerLost(f"the pool was closed, in attempt {task.attempts} of {ATTEMPTS}"))
        elif task.attempts < ATTEMPTS:
            self._tasks.put(task.lane, task, first=True)
            if self._lost is not None:
                self._fail(self._lost)
        else:
            task.future.set_exception(WorkerLost(f"{reason}, in attempt {task.attempts} of {ATTEMPTS}"))

    def _node_lost(self, node: str) -> bool:
        """Whether a node has left the cluster, by the first look at it from now on."""
        now, deadline = time.monotonic(), time.monotonic() + CALL_SECONDS
        while self._seen <= now and time.monotonic() < deadline and not self._over():
            time.sleep(0.05)
        return node not in self._alive

    # The cluster: how many slots it has, how many of them are ours, whether its head answers.

    def _look(self) -> list[dict[str, float]]:
        """The resources of the nodes that are there."""
        began = time.monotonic()
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        self._alive, self._seen = {node["NodeID"] for node in nodes}, began
        return [node["Resources"] for node in nodes]

    def _watch_cluster(self) -> None:
        shares = None
        while not self._over():
            with suppress(Exception):  # of a head that is away: `_watch_head` counts its seconds
                slots = min(self._limit, sum(map(self._need.slots, self._look())))
                if slots:
                    self._slots = slots
                    if self._shared:
                        shares = shares or shares_of(self._ray)
                        asked = shares.report.remote(self._name, self._wanted(), slots)
                        try:
                            self._allowed = min(slots, self._ray.get(asked, timeout=CALL_SECONDS))
                        except Exception:
                            shares = None
                    else:
                        self._allowed = slots
                    self._grow()
            waited = time.monotonic() - self._placed_last
            if self._workers or not self._tasks:
                self._placed_last = time.monotonic()
            elif waited > self._wait:
                why = self._reason or "the cluster is full or has lost its nodes"
                self._lose(f"no slot of the Ray cluster took a task within {waited:.0f} s: {why}")
            self._closed.wait(REPORT_SECONDS)
        if shares is not None and self._lost is None:
            with suppress(Exception):
                shares.leave.remote(self._name)

    def _wanted(self) -> int:
        """The most tasks at once of late."""
        tasks, now = len(self._tasks) + len(self._running()), time.monotonic()
        if tasks >= self._peak or now - self._used > USED_SECONDS:
            self._peak, self._used = tasks, now
        return self._peak

    def _watch_head(self) -> None:
        """Connect to the head's port again and again; lose the pool where it is silent for too long."""
        answered = time.monotonic()
        while not self._over():
            try:
                knock(self._head, POLL_SECONDS)
                answered = time.monotonic()
            except OSError:
                silent = time.monotonic() - answered
                if silent > self._patience:
                    self._lose(f"the head of the Ray cluster at {self._head} has not answered for {silent:.0f} s")
            self._closed.wait(REPORT_SECONDS)

    def _lose(self, reason: str) -> None:
        self._lost = PoolLost(f"{reason}: start it again, then resume the search")
        self._fail(self._lost)

    def _fail(self, error: PoolLost) -> None:
        for task in self._tasks.drain():
            if task.future.running() or task.future.set_running_or_notify_cancel():
                task.future.set_exception(error)

    def _disconnect(self) -> None:
        if self._owned:  # a lost cluster may never answer
            leaving = threading.Thread(target=self._ray.shutdown, daemon=True)
            leaving.start()
            leaving.join(CALL_SECONDS)
