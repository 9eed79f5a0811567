"""What a search begins with: the best schedule of one call less, and transfer records of other models' searches."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api import runner
from api.runner import seeds
from api.settings import Settings
from fewstep import Schedule
from fewstep.predictor import TransferRecord
from fewstep.predictor.transfer import COLUMNS, readable
from fewstep.values.forecast import Forecasts
from fewstep.values.problem import Problem
from fewstep.values.rankers import RANKERS
from fewstep.values.result import Result
from fewstep.values.trial import Trial
from storage import Store
from storage.jobs import Jobs
from tests.api.support import add_model, claim, publish
from tests.storage import samples


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path}/fewstep.db") as made:
        made.migrate()
        yield made


def test_a_search_begins_with_the_best_schedule_of_one_call_less(store: Store) -> None:
    """The lowest score of exactly one call less that was there when the search started; nothing where there is none,
    and nothing that came later, so that a search taken up again begins with the same."""
    model = add_model(store).id
    for nfe, value, seed in ((3, 0.01, 0), (4, 0.09, 0), (4, 0.05, 1)):
        publish(store, Problem(model, nfe, budget=20, seed=seed), value=value)
    best = store.best(model, 4)
    held = claim(store, store.submit(Problem(model, 5, budget=20)))
    assert seeds(store, held.search) == [store.front(model)[-1].result.schedule]
    assert store.front(model)[-1].result.problem.nfe == 4
    assert best.result.score.value == 0.01
    early = claim(store, store.submit(Problem(model, 8, budget=20)))
    assert seeds(store, early.search) == []
    publish(store, Problem(model, 7, budget=20), value=0.02)
    assert seeds(store, early.search) == []


def test_a_search_learns_from_other_models(store: Store) -> None:
    """Records that were there when it started; one that a later version wrote is passed over."""
    record = TransferRecord(6, ((0.5,) * len(COLUMNS),) * 2, (0.1, -0.2), model="other")
    for name, text in (
        ("digits-unet", record.to_json()),
        ("digits-flow", '{"format": "fewstep.lesson", "version": 99}'),
    ):
        held = claim(store, store.submit(Problem(add_model(store, name).id, 6, budget=20)))
        Jobs(store).succeed(held, samples.result(held.search.problem), text)
    mine = Problem(add_model(store).id, 6, budget=20)
    started = claim(store, store.submit(mine)).search.started
    assert started is not None
    assert readable(store.lessons(mine, started)) == [record]


class Transferring:
    """A ranker of an outside package, which keeps what it learns and leaves a record."""

    def __init__(self, trajectories: object) -> None:
        self.learnt: list[str] = []

    def __call__(self, trials: Sequence[Trial], schedules: Sequence[Schedule]) -> Forecasts:
        return Forecasts(np.zeros(len(schedules)), np.ones(len(schedules)))

    def learn(self, records: Sequence[str]) -> None:
        self.learnt += records

    def record(self, problem: Problem, trials: Sequence[Trial]) -> str:
        return f"{problem.model} after {len(self.learnt)}"


class Pool:
    """Stands for a pool that no search uses."""

    def model(self, reference: object) -> None:
        return None


@pytest.mark.parametrize(("name", "left"), [("transferring", ["{other} after 1"]), ("plain", [])])
def test_the_ranker_of_the_setting_learns_and_leaves_a_record(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, left: list[str]
) -> None:
    """A ranker that transfers gets the records there are and leaves its own; any other one does neither."""

    def run(problem: Problem, process: object, pool: object, rank: Any, **options: Any) -> Result:
        rank(None)
        return samples.result(problem)

    monkeypatch.setattr(runner, "run", run)
    RANKERS.add("transferring", Transferring)
    RANKERS.add("plain", lambda trajectories: lambda trials, schedules: Transferring(None)(trials, schedules))
    try:
        settings = Settings(data_dir=tmp_path, ranker=name)
        mine, other = Problem(add_model(store).id, 6, budget=20), Problem(add_model(store, "digits-unet").id, 6)
        Jobs(store).succeed(claim(store, store.submit(mine)), samples.result(mine), "a record")
        held = claim(store, store.submit(other))
        runner.work(settings, store, Pool(), held, threading.Event())  # type: ignore[arg-type]
        ended = claim(store, store.submit(Problem(mine.model, 7, budget=20))).search.started
        assert ended is not None
        assert store.lessons(mine, ended) == [text.format(other=other.model) for text in left]
    finally:
        RANKERS.remove("transferring")
        RANKERS.remove("plain")
