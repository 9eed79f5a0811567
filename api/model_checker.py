"""Trying submitted models: fetched where they are a hub's, called in a worker, ready or refused with the reason."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog

from api import hub, submission
from api.heartbeat import Heartbeat, Stopped
from api.inspection import inspect
from api.settings import Settings
from fewstep.errors import FewstepError, ServiceError
from fewstep.search.evaluation.pool import WorkerPool
from fewstep.search.evaluation.probe import probe
from storage.folders import ModelFolders
from storage.lease import LeaseLost, ModelClaim
from storage.model_checks import ModelChecks
from storage.store import Store

__all__ = ["ModelChecker"]

IDLE_SECONDS = 0.5  # between two looks for submitted models
LOOK_SECONDS = 0.2  # between two looks at whether to stop

Value = TypeVar("Value")
log = structlog.get_logger()


class ModelChecker:
    """Tries one submitted model after the other, in the slots of ``pool``, until ``stop`` is set.

    ``fetch`` downloads a hub's model, as `api.hub.fetch` does.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        pool: WorkerPool,
        stop: threading.Event,
        fetch: Callable[[str, str, Path, int], None] = hub.fetch,
    ) -> None:
        self._settings, self._pool, self._stop, self._fetch = settings, pool, stop, fetch
        self._checks, self._folders = ModelChecks(store), ModelFolders(settings.models_dir)

    def run(self, name: str, alive: Path) -> None:
        """Work as the runner ``name``; ``alive`` is touched while a model is tried."""
        while not self._stop.is_set():
            try:
                for model in self._checks.reap():
                    log.warning("lease ran out", model=model.id, state=model.state)
                claim = self._checks.claim(name, self._settings.lease_seconds)
            except ServiceError as error:
                log.warning("the database does not answer", reason=str(error))
                claim = None
            if claim is None:
                self._stop.wait(IDLE_SECONDS)
                continue
            lease = self._settings.lease_seconds
            with Heartbeat(partial(self._checks.heartbeat, claim, lease), lease, alive):
                self.work(claim)

    def work(self, claim: ModelClaim) -> None:
        """Try one claimed model to its end, whatever that is."""
        told = log.bind(model=claim.model.id, source=claim.model.source)
        try:
            self._settle(claim, told)
        except LeaseLost as error:
            told.info("model left", reason=str(error))
        except ServiceError as error:  # the database is away: the lease runs out, and the model is taken up again
            told.warning("model left", reason=str(error))

    def _settle(self, claim: ModelClaim, told: Any) -> None:
        try:
            if claim.model.unfetched:
                claim = self._fetched(claim)
            model = claim.model
            found = self._result(self._pool.model(submission.reference(model, self._settings)).submit(probe))
            self._checks.ready(claim, replace(model.facts, passes=found.passes, seconds_per_call=found.seconds))
            told.info("model ready", seconds_per_call=round(found.seconds, 4))
        except (LeaseLost, ServiceError):
            raise
        except Stopped:
            self._checks.release(claim)
            told.info("model given back")
        except FewstepError as error:
            self._checks.refuse(claim, str(error))
            told.info("model refused", reason=str(error))
        except Exception as error:
            self._checks.refuse(claim, f"{type(error).__name__}: {error}")
            told.exception("model refused")

    def _fetched(self, claim: ModelClaim) -> ModelClaim:
        """The claim on a model whose files are here now."""
        model, settings = claim.model, self._settings
        repo, _, commit = model.name.rpartition("@")
        with self._folders.incoming() as folder:
            self._fetch(repo, commit, folder, settings.max_model_bytes)
            found = self._result(self._pool.run(inspect, folder))
            described = submission.of_inspected(found, model.source, model.name, model.id)
            with self._folders.keep(folder, found.digest):
                return self._checks.describe(claim, described)

    def _result(self, future: Future[Value]) -> Value:
        """What a worker found; raises `Stopped` where the runner is asked to stop before."""
        while not wait([future], LOOK_SECONDS).done:
            if self._stop.is_set():
                raise Stopped("the runner stops")
        return future.result()
