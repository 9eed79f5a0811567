"""What a search begins with: the best schedule of one call less, and what searches of other models taught."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.runner import lessons, seeds
from fewstep.predictor import Lesson
from fewstep.predictor.lesson import COLUMNS
from fewstep.values.problem import Problem
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
    """Lessons that were there when it started; one that a later version wrote is passed over."""
    lesson = Lesson(6, ((0.5,) * len(COLUMNS),) * 2, (0.1, -0.2), model="other")
    for name, text in (
        ("digits-unet", lesson.to_json()),
        ("digits-flow", '{"format": "fewstep.lesson", "version": 99}'),
    ):
        held = claim(store, store.submit(Problem(add_model(store, name).id, 6, budget=20)))
        Jobs(store).succeed(held, samples.result(held.search.problem), text)
    mine = Problem(add_model(store).id, 6, budget=20)
    started = claim(store, store.submit(mine)).search.started
    assert started is not None
    assert lessons(store, mine, started) == [lesson]
