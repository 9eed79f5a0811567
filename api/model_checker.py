"""Checks of submitted models: downloaded where they are a hub's, called in a worker, then ready or refused."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog

from api import hub, submission
from api.away import Away
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

IDLE_SECONDS = 0.5  # between two polls for submitted models
LOOK_SECONDS = 0.2  # between two polls of the stop event

Value = TypeVar("Value")
log = structlog.get_logger()


class ModelChecker:
    """Checks submitted models in turn, in the slots of ``pool``, until ``stop`` is set.

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
        self._settings = settings
        self._pool = pool
        self._stop = stop
        self._fetch = fetch
        self._checks = ModelChecks(store)
        self._folders = ModelFolders(settings.models_dir)

    def run(self, name: str, alive: Path) -> None:
        """Check models as the runner ``name``; the file ``alive`` is touched during a check."""
        away = Away()
        while not self._stop.is_set():
            try:
                for model in self._checks.reap():
                    log.warning("lease ran out", model=model.id, state=model.state)
                claim = self._checks.claim(name, self._settings.lease_seconds, away.models())
            except ServiceError as error:
                log.warning("the database does not answer", reason=str(error))
                claim = None
            if claim is None:
                self._stop.wait(IDLE_SECONDS)
                continue
            lease = self._settings.lease_seconds
            with Heartbeat(partial(self._checks.heartbeat, claim, lease), lease, alive):
                if not self.work(claim):
                    away.add(claim.model.id)

    def work(self, claim: ModelClaim) -> bool:
        """Check one claimed model: ready, refused, or back to the queue; False where this machine lacks its files."""
        logger = log.bind(model=claim.model.id, source=claim.model.source)
        try:
            self._check(claim, logger)
        except submission.ModelAway as error:
            self._checks.release(claim, str(error))
            logger.info("model left to others", reason=str(error))
            return False
        except LeaseLost as error:
            logger.info("model left", reason=str(error))
        except ServiceError as error:  # the database is away: the lease runs out, and the model is taken up again
            logger.warning("model left", reason=str(error))
        return True

    def _check(self, claim: ModelClaim, logger: Any) -> None:
        try:
            if claim.model.unfetched:
                claim = self._download(claim)
            model = claim.model
            evaluators = self._pool.model(submission.reference(model, self._settings))
            trial_call = self._result(evaluators.submit(probe))
            facts = replace(model.facts, passes=trial_call.passes, seconds_per_call=trial_call.seconds)
            self._checks.ready(claim, facts)
            logger.info("model ready", seconds_per_call=round(trial_call.seconds, 4))
        except (LeaseLost, ServiceError, submission.ModelAway):
            raise
        except Stopped:
            self._checks.release(claim)
            logger.info("model given back")
        except FewstepError as error:
            self._checks.refuse(claim, str(error))
            logger.info("model refused", reason=str(error))
        except Exception as error:
            self._checks.refuse(claim, f"{type(error).__name__}: {error}")
            logger.exception("model refused")

    def _download(self, claim: ModelClaim) -> ModelClaim:
        """The claim on a hub's model, whose files are now on this machine."""
        model = claim.model
        repo, _, commit = model.name.rpartition("@")
        with self._folders.incoming() as folder:
            self._fetch(repo, commit, folder, self._settings.max_model_bytes)
            inspected = self._result(self._pool.run(inspect, folder))
            description = submission.of_inspected(inspected, model.source, model.name, model.id)
            if self._settings.store_of_models is not None:
                self._settings.store_of_models.put(folder, inspected.digest)
            with self._folders.keep(folder, inspected.digest):
                return self._checks.describe(claim, description)

    def _result(self, future: Future[Value]) -> Value:
        """A worker's result; raises `Stopped` where the runner has to stop before."""
        while not wait([future], LOOK_SECONDS).done:
            if self._stop.is_set():
                raise Stopped("the runner stops")
        return future.result()
