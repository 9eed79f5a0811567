"""A database of the first release: whatever it holds is still read, with every value that it had.

``golden/rows.json`` holds the rows that the code of the first release wrote for `tests.api.test_golden.fill`.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from fewstep.values.model import Facts, ModelState
from fewstep.values.search import SearchState
from storage import Store, migrate
from tests.storage import samples

ROWS: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parent / "golden" / "rows.json").read_text())
LAST_BITS = 1e-12  # in which the machines differ that compute what is expected
ZOO = ROWS["models"][0]["id"]


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Store]:
    """A store of those rows, migrated."""
    url = f"sqlite:///{tmp_path / 'old.db'}"
    with Store(url) as store:
        migrate.upgrade(url, "0006")
        with store.write() as session:
            for table, rows in ROWS.items():
                for row in rows:
                    names = ", ".join(f'"{name}"' for name in row)
                    values = ", ".join(f":{name}" for name in row)
                    session.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)
        store.migrate()
        yield store


def id_of(number: int) -> str:
    """The id of the search that was submitted in that place, from 1."""
    return ROWS["searches"][number - 1]["id"]


def test_its_models_are_read(old: Store) -> None:
    """With facts, shape and process."""
    models = {model.id: model for model in old.models()}
    assert models["b" * 16] == samples.submitted("b")
    assert models["c" * 16] == samples.on_hub("c")
    assert (models[ZOO].facts, models[ZOO].shape, models[ZOO].state) == (
        Facts(prediction="data"),
        (1, 8, 8),
        ModelState.READY,
    )
    curve, expected = (arc.to_dict() for arc in (old.curve(ZOO), samples.arc()))
    for name in ("log_snrs", "lengths"):
        np.testing.assert_allclose(curve.pop(name), expected.pop(name), rtol=LAST_BITS)
    assert curve == expected


def test_its_searches_are_read(old: Store) -> None:
    """With problem, state, priority and best score."""
    plain, everything, failed, cancelled, running, queued = (old.search(id_of(number)) for number in range(1, 7))
    assert plain.problem == replace(samples.problem(nfe=5, metric="rms"), model=ZOO)
    assert everything.problem == replace(samples.limited(), model=ZOO)
    assert (failed.state, failed.error) == (SearchState.FAILED, "no memory")
    assert cancelled.state is SearchState.CANCELLED
    assert (running.state, running.priority, running.best) == (SearchState.RUNNING, 7, samples.score(0.25))
    assert (queued.state, queued.problem.seed) == (SearchState.QUEUED, 4)


def test_its_trials_and_events_are_read(old: Store) -> None:
    """Forecasts, failures and fitted numbers included."""
    plans = samples.schedule(5)
    assert old.trials(id_of(1)) == [samples.trial(i, value, plans) for i, value in enumerate((0.3, None, 0.2))]
    (fitted,), expected = old.trials(id_of(5)), samples.trial(0, 0.25, samples.fitted())
    for name in ("start", "outputs"):
        numbers = (getattr(trial.schedule.fitted, name) for trial in (fitted, expected))
        np.testing.assert_allclose(*numbers, rtol=LAST_BITS)
    assert replace(fitted, candidate=replace(fitted.candidate, schedule=expected.schedule)) == expected
    assert replace(fitted.schedule, fitted=None) == replace(expected.schedule, fitted=None)
    kinds = [event.kind for event in old.events(id_of(1))]
    assert kinds == ["state", "state", "phase", "trial", "trial", "trial", "published", "state"]


def test_its_results_are_read(old: Store) -> None:
    """They were flat then: winner, baseline, intervals and cost find their places; what the winner came from is not
    known."""
    for number, value in ((1, 0.05), (2, 0.04)):
        expected = samples.result(old.search(id_of(number)).problem, value)
        expected = replace(expected, winner=replace(expected.winner, name=""))
        assert old.result(id_of(number)).result == expected
    assert old.best(ZOO, 8, "rms").search == id_of(1)
