"""Slots on a Ray cluster, one actor each: a lost worker costs one attempt of one task, a lost node none.

Needs ``pip install 'fewstep[ray]'``. Ray retries nothing: a task has as many attempts as on one machine. Its usage
statistics and its dashboard are off.
"""

import secrets
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl

from fewstep.errors import InvalidInput
from fewstep.models.reference import ModelReference
from fewstep.search.evaluation.lanes import Lanes
from fewstep.search.evaluation.local_pool import ATTEMPTS, MAX_SLOTS, ModelPool, _start
from fewstep.search.evaluation.pool import PoolLost, WorkerLost
from fewstep.search.evaluation.ray_cluster import CALL_SECONDS, NAMESPACE, Need, connect, first_line
from fewstep.search.evaluation.ray_slot import RaySlot
from fewstep.search.evaluation.shares import Shares
from fewstep.search.evaluation.watch import TASK_SECONDS

__all__ = ["RayPool", "open_ray"]

T = TypeVar("T")

NODE_LOSSES = 20  # of one task, with nodes that were lost or taken away; they are no attempts
POLL_SECONDS = 0.5
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
    default a GPU where the cluster has some, else a CPU), ``timeout`` is in seconds for one task, ``patience`` how long
    the head may be silent and ``wait`` how long tasks may wait with no slot at all before the pool is lost. ``here`` is
    how many CPUs to start with on this machine and ``host`` the address its ports are bound to. ``start(device)`` is
    called once in each worker.

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
        timeout: float = TASK_SECONDS,
        patience: float = 30.0,
        wait: float = 600.0,
        here: float | None = None,
        host: str | None = None,
        start: Callable[[str], None] | None = _start,
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
        self._running: dict[int, Any] = {}  # thread -> the task's reference
        self._actors: dict[int, Any] = {}  # thread -> its actor
        self._held = 0  # actors, and those that are being placed
        self._placed = 0
        self._used = self._seen = self._placed_last = time.monotonic()
        self._peak = 0  # most tasks at once since `_used`
        self._reason = ""
        self._alive: set[str] = set()
        self._limit = slots or MAX_SLOTS
        resources = self._look()
        if need is None:
            need = Need(gpus=float(any(each.get("GPU", 0) >= 1 for each in resources)))
        self._need = need
        self._device = "cuda" if need.gpus else "cpu"
        self._slots = self._allowed = min(self._limit, sum(map(need.slots, resources)))
        if not self._slots and slots is None:
            self._disconnect()
            raise InvalidInput(
                f"the cluster has no node with room for a slot of {need}: say what a slot takes, or how many slots "
                "there will be (slots=8) where the cluster grows by itself"
            )
        self._slots = self._allowed = self._slots or self._limit
        self._head = self._ray.get_runtime_context().gcs_address
        self._actor = self._ray.remote(RaySlot).options(
            **need.options(), max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        )
        self._threads: list[threading.Thread] = []
        for name, work in (("head", self._watch_head), ("cluster", self._watch_cluster)):
            self._spawn(f"ray-{name}", work)
        self._grow()

    def __len__(self) -> int:
        return self._slots

    def model(self, reference: ModelReference) -> ModelPool:
        """The pool's slots, working on one model; models take turns."""
        return ModelPool(_Lane(self, self.cache, self.metrics), reference)

    def run(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Run a picklable ``function(*args)`` in a free slot's process."""
        return self.put(None, function, args)

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
            for reference in list(self._running.values()):
                with suppress(Exception):
                    self._ray.cancel(reference)
            deadline = time.monotonic() + GRACE_SECONDS
            while self._running and time.monotonic() < deadline:
                time.sleep(0.01)
        for actor in list(self._actors.values()):
            self._kill(actor)
        for thread in self._threads:
            thread.join(2 * POLL_SECONDS)
        self._disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Slots: a thread each, which holds an actor where the pool may hold one, and gives it a task at a time.

    def _spawn(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _grow(self) -> None:
        while len(self._threads) - 2 < min(self._slots, MAX_SLOTS):
            self._spawn("ray-slot", self._serve)

    def _serve(self) -> None:
        actor, node = None, ""
        try:
            while not self._over():
                if actor is None:
                    if not self._permitted():
                        self._closed.wait(POLL_SECONDS)
                        continue
                    actor, node = self._place()
                elif self._surplus() or not self._serve_one(actor, node):
                    self._release(actor)
                    actor = None
        finally:
            if actor is not None:
                self._release(actor)

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

    def _place(self) -> tuple[Any, str]:
        """A new actor and its node's identity; (None, "") where the cluster could not start it or need not now."""
        actor = None
        try:
            actor = self._actor.remote(self._start_slot, self._device)
            ready = actor.where.remote()
            while not self._ray.wait([ready], timeout=POLL_SECONDS)[0]:
                if self._over() or self._surplus():
                    raise WorkerLost("not wanted any more")
            node: str = self._ray.get(ready)
        except Exception as error:
            if not isinstance(error, WorkerLost):
                self._reason = first_line(error)
            with self._lock:
                self._held -= 1
            self._kill(actor)
            self._closed.wait(POLL_SECONDS)
            return None, ""
        with self._lock:
            self._placed += 1
            self._actors[threading.get_ident()] = actor
        return actor, node

    def _release(self, actor: Any) -> None:
        with self._lock:
            self._held -= 1
            self._placed -= 1
            self._placed_last = time.monotonic()
            self._actors.pop(threading.get_ident(), None)
        self._kill(actor)

    def _kill(self, actor: Any) -> None:
        if actor is not None and self._lost is None:
            with suppress(Exception):
                self._ray.kill(actor)

    def _serve_one(self, actor: Any, node: str) -> bool:
        """Run the next task, if one comes soon; whether the actor is still good."""
        task = self._tasks.get(POLL_SECONDS)
        if task is None:
            return True
        if not task.future.running() and not task.future.set_running_or_notify_cancel():
            return True
        try:
            succeeded, value = self._result(actor, task)
        except WorkerLost as lost:
            self._again(task, str(lost), node)
            return False
        except BaseException as unexpected:  # it could not be sent, or its result not come back
            task.future.set_exception(unexpected)
            return True
        if succeeded:
            task.future.set_result(value)
        else:
            task.future.set_exception(value)
        return True

    def _result(self, actor: Any, task: _Task) -> tuple[bool, Any]:
        """What the actor returns; raises `WorkerLost` where it died or took too long."""
        ray, deadline = self._ray, time.monotonic() + self._timeout
        try:
            reference = actor.run.remote(task.function, task.args)
            self._running[threading.get_ident()] = reference
            while not ray.wait([reference], timeout=min(POLL_SECONDS, max(deadline - time.monotonic(), 0.0)))[0]:
                if self._lost is not None or (self._closed.is_set() and not self._actors):
                    raise WorkerLost("the pool was closed")
                if time.monotonic() >= deadline:
                    ray.cancel(reference)
                    ray.wait([reference], timeout=GRACE_SECONDS)
                    raise WorkerLost(f"no result within {self._timeout:g} s")
            outcome: tuple[bool, Any] = ray.get(reference)
            return outcome
        except ray.exceptions.RayTaskError as error:
            raise error.cause or error from None
        except ray.exceptions.RayError as error:
            raise WorkerLost(f"the worker died: {first_line(error)}") from error
        finally:
            self._running.pop(threading.get_ident(), None)

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
                        shares = shares or self._shares()
                        asked = shares.report.remote(self._name, self._wanted(), slots)
                        try:
                            self._allowed = min(slots, self._ray.get(asked, timeout=CALL_SECONDS))
                        except Exception:
                            shares = None
                    else:
                        self._allowed = slots
                    self._grow()
            waited = time.monotonic() - self._placed_last
            if self._placed or not self._tasks:
                self._placed_last = time.monotonic()
            elif waited > self._wait:
                why = self._reason or "the cluster is full or has lost its nodes"
                self._lose(f"no slot of the Ray cluster took a task within {waited:.0f} s: {why}")
            self._closed.wait(REPORT_SECONDS)
        if shares is not None and self._lost is None:
            with suppress(Exception):
                shares.leave.remote(self._name)

    def _shares(self) -> Any:
        """The actor that divides the cluster's slots among the runners."""
        return (
            self._ray.remote(Shares)
            .options(
                name="shares",
                namespace=NAMESPACE,
                get_if_exists=True,
                lifetime="detached",
                num_cpus=0,
                max_restarts=-1,
                max_task_retries=0,
            )
            .remote()
        )

    def _wanted(self) -> int:
        """The most tasks at once of late."""
        tasks, now = len(self._tasks) + len(self._running), time.monotonic()
        if tasks >= self._peak or now - self._used > USED_SECONDS:
            self._peak, self._used = tasks, now
        return self._peak

    def _watch_head(self) -> None:
        """Connect to the head's port again and again; lose the pool where it is silent for too long."""
        host, _, port = self._head.rpartition(":")
        answered = time.monotonic()
        while not self._over():
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=POLL_SECONDS).close()
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


def open_ray(
    rest: str, cache: Path | None = None, metrics: Path | None = None, timeout: float = TASK_SECONDS
) -> RayPool:
    """The pool of a URL "ray:…".

    | URL | slots |
    |---|---|
    | ``ray:`` | Ray is started on this machine, with its ports on the loopback address: a slot on every GPU, else CPU |
    | ``ray:4`` | the same with four CPU slots |
    | ``ray://head:6379`` | on the cluster whose head is there and of which this machine is a node |
    | ``ray://head:6379?gpus=0.5&gpu=H100&memory=16e9&slots=16`` | what a slot takes of its node, and how many at most |

    Options after "?": cpus, gpus, gpu, memory (bytes), slots, timeout, patience, wait (seconds), and for "ray:" host.
    Raises `InvalidInput` for another URL, `PoolLost` where no cluster answers.
    """
    place, _, query = rest.partition("?")
    cluster = place.startswith("//")
    address = place.removeprefix("//")
    allowed = {"cpus": float, "gpus": float, "gpu": str, "memory": float, "slots": int, "timeout": float}
    options: dict[str, Any] = {}
    try:
        types: dict[str, Callable[[str], Any]] = {**allowed, "patience": float, "wait": float, "host": str}
        options = {name: types[name](value) for name, value in parse_qsl(query, keep_blank_values=True)}
        host, _, port = address.rpartition(":")
        good = bool(host) and 0 < int(port) < 2**16 if cluster else not address or 0 < int(address) <= MAX_SLOTS
        good = good and 0 < options.get("slots", 1) <= MAX_SLOTS and not (cluster and "host" in options)
        good = good and all(options.get(name, 1.0) > 0 for name in ("timeout", "patience", "wait"))
    except (KeyError, ValueError):
        good = False
    if not good:
        raise InvalidInput(
            f"a pool on Ray is ray: or ray:N, with N from 1 to {MAX_SLOTS} slots on this machine, or ray://head:6379, "
            f"each with options such as ?cpus=2&gpus=0.5&slots=16&timeout=900; got ray:{rest[:80]}"
        )
    count = int(address) if address and not cluster else options.get("slots")
    need = None
    if options.keys() & {"cpus", "gpus", "gpu", "memory"} or (address and not cluster):
        gpus = options.get("gpus", float("gpu" in options))
        need = Need(options.get("cpus", 1.0), gpus, int(options.get("memory", 0)), options.get("gpu", ""))
    return RayPool(
        address if cluster else None,
        need,
        count,
        cache,
        metrics,
        timeout=options.get("timeout", timeout),
        patience=options.get("patience", 30.0),
        wait=options.get("wait", 600.0),
        here=None if cluster or not address or need is None else int(address) * need.cpus,
        host=options.get("host"),
    )
