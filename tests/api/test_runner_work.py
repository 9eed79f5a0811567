"""What a runner hands to a search: what there was to learn from when it started, and how long it has run."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from api import runner
from api.heartbeat import Stopped
from api.settings import Settings, load
from fewstep.errors import InvalidInput
from fewstep.values.limits import Limits
from fewstep.values.problem import Problem
from fewstep.values.result import Result
from fewstep.values.search import TERMINAL
from storage import Jobs, Store
from tests.api.support import add_model, claim, publish
from tests.service.support import wait_until
from tests.storage import samples


class Pool:
    """Stands for a pool that no search uses."""

    def model(self, reference: object) -> None:
        return None

    def __len__(self) -> int:
        return 2

    def busy(self) -> list[float]:
        return [3.0, 1.0]

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        return None


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each call of the search was given; every other one is stopped half-way."""
    calls: list[dict[str, Any]] = []

    def run(problem: Problem, process: object, pool: object, rank: object, **given: Any) -> Result:
        calls.append(given)
        if len(calls) % 2:
            given["on"].trial(samples.trial(0, plan=samples.schedule(problem.nfe)))
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
        assert {trial.schedule.nfe for trial in first["warm"].trials} == {3, 4, 6}
        assert second["warm"].trials == first["warm"].trials
        assert [schedule.nfe for schedule in first["warm"].schedules] == [4]
        assert second["warm"].schedules == first["warm"].schedules
        assert (first["log"].elapsed, first["log"].trials) == (0, [])
        assert second["log"].elapsed > 0
        assert len(second["log"].trials) == 1
        assert store.result(search.id).result.problem == problem


def test_workers_get_the_operators_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of the setting is the one that evaluators look features up in; the time limit is the setting's too."""
    given: dict[str, Any] = {}

    def opened(url: str, cache: Path, metrics: Path, timeout: float) -> Pool:
        given.update(url=url, cache=cache, metrics=metrics, timeout=timeout)
        return Pool()

    monkeypatch.setattr(runner, "open_pool", opened)
    stop = threading.Event()
    stop.set()
    runner.serve(Settings(data_dir=tmp_path, metrics_dir=tmp_path, pool="local:3", task_seconds=99), stop)
    assert given == {"url": "local:3", "cache": tmp_path / "teachers", "metrics": tmp_path, "timeout": 99}


def test_a_runner_works_on_several_searches_of_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two meet half-way, which neither could alone; the one of a call more begins when what it builds on has ended."""
    both, stop, began, ended = threading.Barrier(2), threading.Event(), list[int](), list[int]()

    def run(problem: Problem, *_: object, **given: Any) -> Result:
        began.append(problem.nfe)
        if problem.nfe == 5:
            assert 4 in ended
        else:
            both.wait(60)
        ended.append(problem.nfe)
        return samples.result(problem)

    monkeypatch.setattr(runner, "run", run)
    monkeypatch.setattr(runner, "open_pool", lambda *_: Pool())
    settings = Settings(data_dir=tmp_path, searches=2)
    with Store(settings.database_url) as store:
        store.migrate()
        model = add_model(store).id
        searches = [store.submit(Problem(model, nfe)).id for nfe in (4, 5, 8)]
        thread = threading.Thread(target=runner.serve, args=(settings, stop))
        thread.start()
        wait_until(lambda: all(store.search(each).state in TERMINAL for each in searches))
        stop.set()
        thread.join()
        assert {store.search(each).state for each in searches} == {"succeeded"}
    assert sorted(began[:2]) == [4, 8]


def test_usage_is_since_the_beginning() -> None:
    """What slots did before does not count; a slot that comes later counts from then on; shares are at most 1."""
    pool = Pool()
    usage = runner.Usage(pool)  # type: ignore[arg-type]
    assert usage.shares() == [0.0, 0.0]
    pool.busy = lambda: [1e6, 1.0, 0.0]  # type: ignore[method-assign]
    assert usage.shares() == [1.0, 0.0, 0.0]


def test_the_pool_is_the_settings_own(tmp_path: Path) -> None:
    """A URL as it is given; by default the GPUs of this machine, or its CPU slots where it has none."""
    assert runner.pool_url(Settings(data_dir=tmp_path, pool="remote://a")) == "remote://a"
    usual = "local:cuda" if torch.cuda.device_count() else "local:5"
    assert runner.pool_url(Settings(data_dir=tmp_path, slots=5)) == usual


def test_the_ranker_of_the_setting_is_one_there_is() -> None:
    """An unknown name stops the start, with the names there are; by default it is the learned one."""
    assert Settings().ranker == "learned"
    with pytest.raises(InvalidInput, match=r"ranker: .*replay, learned.*got 'tea leaves'"):
        load(ranker="tea leaves")
