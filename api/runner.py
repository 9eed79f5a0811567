"""The runner: claims searches, works on them with a pool of evaluator slots, records every trial.

The only place where search, predictor and storage meet. Several runners may share a database; whatever dies, the lease
runs out, the search goes back to the queue, and the next runner goes on from the recorded trials.
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog
import torch

import predictor
from api.settings import Settings
from fewstep import processes
from fewstep.errors import FewstepError, ServiceError
from fewstep.models.reference import ModelReference
from fewstep.problem import Trial
from search.pool.local import LocalPool
from search.run import run
from storage.jobs import Jobs
from storage.lease import LeaseLost
from storage.store import Store
from storage.values import Claim

__all__ = ["alive_file", "devices", "serve", "work"]

IDLE_SECONDS = 0.5  # between two looks at an empty queue
PHASE_SECONDS = 0.5  # between two progress events of one phase

log = structlog.get_logger()


class Stopped(FewstepError):
    """The runner was asked to stop; its search goes back to the queue."""


def devices(slots: int) -> list[str]:
    """One device name per slot: every GPU once, or ``slots`` times the CPU where there is none."""
    return [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu"] * slots


def alive_file(data_dir: Path) -> Path:
    """The file that a working runner touches at every heartbeat."""
    return data_dir / "runner-alive"


def serve(settings: Settings, stop: threading.Event) -> None:
    """Work on queued searches until ``stop`` is set."""
    name = f"{socket.gethostname()}:{os.getpid()}"
    alive = alive_file(settings.data_dir)
    alive.parent.mkdir(parents=True, exist_ok=True)
    slots = devices(settings.slots)
    with Store(settings.database_url) as store, LocalPool(slots, settings.data_dir / "teachers") as pool:
        store.migrate()
        jobs = Jobs(store)
        log.info("runner ready", runner=name, slots=slots)
        while not stop.is_set():
            alive.touch()
            try:
                for search in jobs.reap():
                    log.warning("lease ran out", search=search.id, state=search.state, attempt=search.attempt)
                claim = jobs.claim(name, settings.lease_seconds)
            except ServiceError as error:
                log.warning("the database does not answer", reason=str(error))
                claim = None
            if claim is None:
                stop.wait(IDLE_SECONDS)
            else:
                with Heartbeat(jobs, claim, settings.lease_seconds, alive):
                    work(store, jobs, pool, claim, stop)


def work(store: Store, jobs: Jobs, pool: LocalPool, claim: Claim, stop: threading.Event) -> None:
    """Work on one claimed search to its end, whatever that is."""
    search = claim.search
    told = log.bind(search=search.id, nfe=search.problem.nfe, attempt=search.attempt)
    told.info("search starts", recorded=search.evaluations)
    try:
        model = store.model(search.problem.model)
        result = run(
            search.problem,
            processes.from_dict(model.process),
            pool.model(ModelReference(model.source, model.name, model.digest)),
            predictor.ranker,
            record=lambda trial: _record(jobs, claim, trial, stop),
            recorded=store.trials(search.id),
            progress=_throttled(lambda phase, done, total: jobs.phase(claim, phase, done, total), stop),
        )
        jobs.succeed(claim, replace(result, tau=predictor.kendall_tau(store.trials(search.id))))
        told.info("search succeeded", ratio=round(result.ratio, 3), seconds=round(result.seconds, 1))
    except LeaseLost as error:
        told.info("search left", reason=str(error))
    except ServiceError as error:  # the database is away: the lease runs out, and the search is taken up again
        told.warning("search left", reason=str(error))
    except Stopped:
        jobs.release(claim)
        told.info("search given back")
    except Exception as error:
        told.exception("search failed")
        jobs.fail(claim, str(error) if isinstance(error, FewstepError) else f"{type(error).__name__}: {error}")


def _record(jobs: Jobs, claim: Claim, trial: Trial, stop: threading.Event) -> None:
    jobs.record(claim, trial)
    if stop.is_set():
        raise Stopped("the runner stops")


def _throttled(tell: Callable[[str, int, int], None], stop: threading.Event) -> Callable[[str, int, int], None]:
    """Progress that is told when a phase begins, ends, or at most every `PHASE_SECONDS`."""
    last_phase, last_time = "", 0.0

    def progress(phase: str, done: int, total: int) -> None:
        nonlocal last_phase, last_time
        if stop.is_set():
            raise Stopped("the runner stops")
        now = time.monotonic()
        if phase != last_phase or done == total or now - last_time >= PHASE_SECONDS:
            last_phase, last_time = phase, now
            tell(phase, done, total)

    return progress


class Heartbeat:
    """Extends a claim's lease at a third of its length, in a thread of its own, for as long as the context lasts."""

    def __init__(self, jobs: Jobs, claim: Claim, lease: float, alive: Path) -> None:
        self._jobs, self._claim, self._lease, self._alive = jobs, claim, lease, alive
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def _beat(self) -> None:
        while not self._over.wait(self._lease / 3):
            self._alive.touch()
            try:
                self._jobs.heartbeat(self._claim, self._lease)
            except LeaseLost:
                return  # the next record or progress of the search says so too, and ends it
            except Exception:
                log.exception("heartbeat failed", search=self._claim.search.id)  # the next one may get through

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
