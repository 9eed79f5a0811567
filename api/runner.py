"""The runner: claims searches, runs them on a pool of evaluator slots, records every trial; checks submitted models.

The only place where search, rankers and storage meet. A runner works on several searches of one model at a time, so
that slots which one of them has no task for work for another. Several runners may share a database. Where one dies,
its lease expires, the search returns to the queue, and the next runner resumes it from the recorded trials.
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import structlog
import torch

from api.away import Away
from api.heartbeat import Heartbeat, Stopped
from api.model_checker import ModelChecker
from api.settings import Settings
from api.submission import ModelAway, reference
from fewstep import Schedule, predictor, processes
from fewstep.errors import FewstepError, ServiceError
from fewstep.search.engine import run
from fewstep.search.evaluation.pool import PoolLost, WorkerPool, open_pool
from fewstep.search.log import Callbacks, TrialLog, WarmStart
from fewstep.trajectory import Trajectories
from fewstep.values.rankers import RANKERS, Transfers
from fewstep.values.search import Search
from fewstep.values.trial import Rank, Trial
from storage.jobs import Jobs
from storage.lease import Claim, LeaseLost
from storage.store import Store

__all__ = ["Usage", "alive_file", "pool_url", "seeds", "serve", "work"]

LEAST, MOST = 2, 8  # searches at a time, where the settings do not say
IDLE_SECONDS = 0.5  # between two polls of an empty queue
PHASE_SECONDS = 0.5  # between two progress events of one phase
STOP_SECONDS = 10.0  # to return the model under check to the queue; a download takes longer, and its lease expires

log = structlog.get_logger()


def pool_url(settings: Settings) -> str:
    """The URL of the settings' pool; by default one slot on every GPU, or ``slots`` on the CPU where there is none."""
    return settings.pool or ("local:cuda" if torch.cuda.device_count() else f"local:{settings.slots}")


def alive_file(data_dir: Path) -> Path:
    """The file that a working runner touches at every heartbeat."""
    return data_dir / "runner-alive"


def serve(settings: Settings, stop: threading.Event) -> None:
    """Run queued searches and, in a second thread, check submitted models, until ``stop`` is set.

    Raises `PoolLost` where the pool is gone for good: whoever keeps the runner starts another.
    """
    name = f"{socket.gethostname()}:{os.getpid()}"
    alive = alive_file(settings.data_dir)
    alive.parent.mkdir(parents=True, exist_ok=True)
    url = pool_url(settings)
    cache = settings.data_dir / "teachers"
    with (
        Store(settings.database_url) as store,
        open_pool(url, cache, settings.metrics_dir, settings.task_seconds) as pool,
        ThreadPoolExecutor(most := settings.searches or min(max(len(pool), LEAST), MOST), "search") as threads,
    ):
        store.migrate()
        jobs = Jobs(store)
        checker = ModelChecker(settings, store, pool, stop)
        checks = threading.Thread(target=checker.run, args=(name, alive), name="model-checker", daemon=True)
        checks.start()
        log.info("runner ready", runner=name, pool=url)
        away, usage, running = Away(), Usage(pool), dict[Future[bool], Search]()
        while not stop.is_set():
            alive.touch()
            claim = None
            try:
                for search in jobs.reap():
                    log.warning("lease ran out", search=search.id, state=search.state, attempt=search.attempt)
                if len(running) < most:
                    claim = jobs.claim(name, settings.lease_seconds, away.models(), list(running.values()))
            except ServiceError as error:
                log.warning("the database does not answer", reason=str(error))
            if claim is not None:
                if not running:
                    usage.begin()
                running[threads.submit(_attend, settings, store, pool, claim, stop, usage)] = claim.search
                continue
            ended = wait(running, IDLE_SECONDS, FIRST_COMPLETED).done if running else set()
            if not running:
                stop.wait(IDLE_SECONDS)
            for future in ended:
                search = running.pop(future)
                if not future.result():
                    away.add(search.problem.model)
        for future in running:
            future.result()
        checks.join(STOP_SECONDS)


def _attend(
    settings: Settings, store: Store, pool: WorkerPool, claim: Claim, stop: threading.Event, usage: "Usage"
) -> bool:
    """Run one claimed search under a heartbeat; see `work`."""
    jobs, lease = Jobs(store), settings.lease_seconds

    def beat() -> None:
        jobs.heartbeat(claim, lease)
        jobs.slots(claim, usage.shares())

    with Heartbeat(beat, lease, alive_file(settings.data_dir)):
        return work(settings, store, pool, claim, stop)


class Usage:
    """The share of the time in which each slot of a pool has worked, since the runner last began to have a search."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self.begin()

    def begin(self) -> None:
        """Count from now on."""
        self._began, self._before = time.monotonic(), self._pool.busy()

    def shares(self) -> list[float]:
        """Of each slot, between 0 and 1; a slot that came later is counted from the beginning."""
        seconds = max(time.monotonic() - self._began, 1e-3)
        worked = zip_longest(self._pool.busy(), self._before, fillvalue=0.0)
        return [round(min(max(now - before, 0.0) / seconds, 1.0), 3) for now, before in worked]


def work(settings: Settings, store: Store, pool: WorkerPool, claim: Claim, stop: threading.Event) -> bool:
    """Run one claimed search until it succeeds, fails, or is released; False where this machine lacks its model.

    Raises `PoolLost`, after the search has gone back to the queue.
    """
    jobs = Jobs(store)
    search = claim.search
    logger = log.bind(search=search.id, nfe=search.problem.nfe, attempt=search.attempt)
    logger.info("search starts", recorded=search.evaluations)
    records = [] if search.started is None else store.lessons(search.problem, search.started)
    transfers: list[Transfers] = []  # the search's ranker, where it transfers

    def rank(trajectories: Trajectories) -> Rank:
        ranker = RANKERS[settings.ranker](trajectories)
        if isinstance(ranker, Transfers):
            ranker.learn(records)
            transfers.append(ranker)
        return ranker

    try:
        model = store.model(search.problem.model)
        neighbours = [] if search.started is None else store.neighbours(search.problem, search.started)
        result = run(
            search.problem,
            processes.from_dict(model.process),
            pool.model(reference(model, settings)),
            rank,
            log=TrialLog(store.trials(search.id), claim.elapsed),
            warm=WarmStart(seeds(store, search), neighbours),
            on=Callbacks(
                trial=lambda trial: _record(jobs, claim, trial, stop),
                progress=_throttle(lambda phase, done, total: jobs.phase(claim, phase, done, total), stop),
                curve=lambda arc: jobs.record_curve(claim, arc),
            ),
        )
        trials = store.trials(search.id)
        record = transfers[-1].record(search.problem, trials) if transfers else None
        jobs.succeed(claim, replace(result, tau=predictor.kendall_tau(trials)), record)
        logger.info(
            "search succeeded", ratio=round(result.ratio, 3), ended=result.ended, seconds=round(result.cost.seconds)
        )
    except LeaseLost as error:
        logger.info("search left", reason=str(error))
    except ModelAway as error:
        jobs.release(claim, str(error))
        logger.info("search left to others", reason=str(error))
        return False
    except PoolLost as error:
        jobs.release(claim, str(error))
        logger.warning("search given back", reason=str(error))
        raise
    except ServiceError as error:  # the database is away: the lease runs out, and the search is taken up again
        logger.warning("search left", reason=str(error))
    except Stopped:
        jobs.release(claim)
        logger.info("search given back")
    except Exception as error:
        logger.exception("search failed")
        jobs.fail(claim, str(error) if isinstance(error, FewstepError) else f"{type(error).__name__}: {error}")
    return True


def seeds(store: Store, search: Search) -> list[Schedule]:
    """The best schedule at one call less, as it was when the search first started: for its warm start."""
    problem = search.problem
    front = store.front(problem.model, problem.metric, until=search.started)
    return [published.result.schedule for published in front if published.result.problem.nfe == problem.nfe - 1]


def _record(jobs: Jobs, claim: Claim, trial: Trial, stop: threading.Event) -> None:
    jobs.record(claim, trial)
    if stop.is_set():
        raise Stopped("the runner stops")


def _throttle(report: Callable[[str, int, int], None], stop: threading.Event) -> Callable[[str, int, int], None]:
    """``report``, called when a phase begins or ends, and in between at most every `PHASE_SECONDS`."""
    last_phase = ""
    last_time = 0.0

    def progress(phase: str, done: int, total: int) -> None:
        nonlocal last_phase, last_time
        if stop.is_set():
            raise Stopped("the runner stops")
        now = time.monotonic()
        if phase != last_phase or done == total or now - last_time >= PHASE_SECONDS:
            last_phase = phase
            last_time = now
            report(phase, done, total)

    return progress
