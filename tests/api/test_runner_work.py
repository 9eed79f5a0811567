"""What a runner hands to a search: what there was to learn from when it started, and how long it has run."""

import threading
from pathlib import Path
from typing import Any

import pytest

from api import runner
from api.heartbeat import Stopped
from api.settings import Settings
from fewstep.values.limits import Limits
from fewstep.values.problem import Problem
from fewstep.values.result import Result
from storage import Jobs, Store
from tests.api.support import add_model, claim, publish
from tests.storage import samples


class Pool:
    """Stands for a pool that no search uses."""

    def model(self, reference: object) -> None:
        return None


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each call of the search was given; every other one is stopped half-way."""
    calls: list[dict[str, Any]] = []

    def run(problem: Problem, process: object, pool: object, rank: object, **given: Any) -> Result:
        calls.append(given)
        if len(calls) % 2:
            given["record"](samples.trial(0, plan=samples.schedule(problem.nfe)))
            raise Stopped("the runner stops")
        return samples.result(problem)

    monkeypatch.setattr(runner, "run", run)
    return calls


def test_a_search_taken_up_again_is_handed_the_same(tmp_path: Path, handed: list[dict[str, Any]]) -> None:
    """Seeds and trials of other searches are those there were at the start, not those published meanwhile; the seconds
    it ran are handed on; limits and metric reach the result."""
    settings = Settings(data_dir=tmp_path)
    with Store(settings.database_url) as store:
        store.migrate()
        model, metric = add_model(store).id, "frechet:digits"
        for nfe in (3, 4, 6):
            publish(store, Problem(model, nfe, metric))
        publish(store, Problem(model, 4))
        problem = Problem(model, 5, metric, limits=Limits(calls=10**6, seconds=60))
        search = store.submit(problem)
        for _ in range(2):
            runner.work(settings, store, Pool(), claim(store, search), threading.Event())  # type: ignore[arg-type]
            if len(handed) == 1:
                assert store.search(search.id).state == "queued"
                Jobs(store).pause(search.id)
                publish(store, Problem(model, 4, metric), value=0.01)
                Jobs(store).resume(search.id)
        first, second = handed
        assert {trial.schedule.nfe for trial in first["others"]} == {3, 4, 6}
        assert second["others"] == first["others"]
        assert [schedule.nfe for schedule in first["seeds"]] == [4]
        assert second["seeds"] == first["seeds"]
        assert (first["elapsed"], first["recorded"]) == (0, [])
        assert second["elapsed"] > 0
        assert len(second["recorded"]) == 1
        assert store.result(search.id).result.problem == problem


def test_workers_get_the_operators_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of the setting is the one that evaluators look features up in."""
    given: dict[str, Any] = {}

    class Made(Pool):
        def __init__(self, devices: object, cache: Path, **more: Any) -> None:
            given.update(more, cache=cache)

        def __enter__(self) -> "Made":
            return self

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(runner, "LocalPool", Made)
    stop = threading.Event()
    stop.set()
    runner.serve(Settings(data_dir=tmp_path, metrics_dir=tmp_path), stop)
    assert given == {"cache": tmp_path / "teachers", "metrics": tmp_path}
