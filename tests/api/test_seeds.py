"""Which schedule of one call less a search begins with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.runner import seeds
from fewstep.problem import Problem
from storage import Store
from tests.api.support import add_model, claim, publish


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
