"""Two machines with folders of their own and one database: neither refuses nor fails what only the other can do."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from api import runner, submission
from api.inspection import inspect
from api.model_checker import ModelChecker
from api.settings import Settings
from fewstep.search.evaluation.local_pool import LocalPool
from fewstep.search.evaluation.pool import PoolLost
from fewstep.values.model import Model, ModelState
from fewstep.values.problem import Problem
from fewstep.values.result import Result
from storage import Jobs, Store
from storage.folders import ModelFolders
from storage.model_checks import ModelChecks
from tests.api.support import prepared
from tests.api.uploads import pipeline, tree
from tests.storage import samples


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    """One worker for all tests."""
    with LocalPool() as pool:
        yield pool


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The database of both."""
    with Store(prepared(Settings(data_dir=tmp_path / "database")).database_url) as store:
        yield store


def machine(tmp_path: Path, name: str, blobs: str | None) -> Settings:
    """The settings of a machine."""
    settings = Settings(data_dir=tmp_path / name, blobs=blobs)
    ModelFolders(settings.models_dir).sweep()
    return settings


def uploaded(settings: Settings, store: Store) -> Model:
    """A model that was uploaded to this machine."""
    folders = ModelFolders(settings.models_dir)
    with folders.incoming() as folder:
        pipeline(folder)
        model = submission.of_inspected(inspect(folder), "upload", "tiny")
        return submission.keep(store, folders, folder, model, settings.store_of_models)


def checked(settings: Settings, store: Store, pool: LocalPool) -> bool:
    """Whether this machine's runner could check the model that waits."""
    claim = ModelChecks(store).claim("test runner", 600.0)
    assert claim is not None
    return ModelChecker(settings, store, pool, threading.Event()).work(claim)


def test_a_runner_fetches_what_it_lacks(tmp_path: Path, store: Store, pool: LocalPool) -> None:
    """With a store, the other machine checks the model: it has the same folder then, under the same digest."""
    url = f"memory://{uuid4().hex}"
    ours, theirs = (machine(tmp_path, name, url) for name in ("ours", "theirs"))
    model = uploaded(ours, store)
    assert checked(theirs, store, pool)
    assert store.model(model.id).state is ModelState.READY
    assert tree(theirs.models_dir / model.digest) == tree(ours.models_dir / model.digest)


@pytest.mark.parametrize(("blobs", "why"), [(None, "no store to fetch it from"), ("memory://empty", "has no model of")])
def test_a_runner_leaves_what_it_cannot_fetch_to_others(
    tmp_path: Path, store: Store, pool: LocalPool, monkeypatch: pytest.MonkeyPatch, blobs: str | None, why: str
) -> None:
    """Without a store, or with an empty one, the model stays submitted and the search queued, each with the reason, until the one comes that
    has the folder; the other does not claim them again at once."""
    ours, theirs = machine(tmp_path, "ours", None), machine(tmp_path, "theirs", blobs)
    model = uploaded(ours, store)
    assert not checked(theirs, store, pool)
    left = store.model(model.id)
    assert left.state is ModelState.SUBMITTED
    assert "this runner has no folder of model tiny" in (left.reason or "")
    assert why in (left.reason or "")
    assert ModelChecks(store).claim("theirs", 600.0, {model.id: 0.0}) is None
    assert checked(ours, store, pool)
    assert (store.model(model.id).state, store.model(model.id).reason) == (ModelState.READY, None)

    def found(problem: Problem, *_: object, **__: Any) -> Result:
        return samples.result(problem)

    monkeypatch.setattr(runner, "run", found)
    search = store.submit(Problem(model.id, 4))
    for settings, state in ((theirs, "queued"), (ours, "succeeded")):
        claim = Jobs(store).claim("test runner", 600.0)
        assert claim is not None
        done = runner.work(settings, store, pool, claim, threading.Event())
        assert done is (settings is ours)
        assert store.search(search.id).state == state
        assert Jobs(store).claim("theirs", 600.0, {model.id}) is None


def test_a_search_whose_pool_is_lost_goes_back_to_the_queue(
    tmp_path: Path, store: Store, pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, with the reason; the runner ends, and the next one resumes it from its trials."""
    settings = machine(tmp_path, "ours", None)
    model = store.add_model(submission.of_zoo("digits-mixture"))

    def lost(*_: object, **__: Any) -> Result:
        raise PoolLost("the head of the Ray cluster has not answered for 30 s")

    monkeypatch.setattr(runner, "run", lost)
    search = store.submit(Problem(model.id, 4))
    claim = Jobs(store).claim("test runner", 600.0)
    assert claim is not None
    with pytest.raises(PoolLost):
        runner.work(settings, store, pool, claim, threading.Event())
    assert store.search(search.id).state == "queued"
    assert store.search(search.id).attempt == search.attempt
