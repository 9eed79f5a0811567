"""Submitting searches, with and without an idempotency key."""

import re
from dataclasses import replace

import pytest

from fewstep.errors import Conflict, InvalidInput, NotFound
from fewstep.values.limits import Limits
from fewstep.values.problem import Problem
from fewstep.values.search import SearchState
from storage import Jobs, Store
from tests.storage import samples


def test_submit(store: Store) -> None:
    """A submitted search is queued, holds the problem and can be read back."""
    store.add_model(samples.model())
    search = store.submit(samples.problem(), priority=3)
    assert (search.problem, search.state, search.attempt) == (samples.problem(), SearchState.QUEUED, 1)
    assert (search.priority, search.evaluations, search.best, search.error) == (3, 0, None, None)
    assert (search.started, search.finished) == (None, None)
    assert re.fullmatch("[0-9a-f]{32}", search.id)
    assert store.search(search.id) == search


def test_submit_with_everything(store: Store) -> None:
    """Metric, report, sampler and limits come back as they went in, and are part of what a key stands for."""
    store.add_model(samples.model())
    problem = samples.limited()
    search = store.submit(problem, key="k")
    assert search.problem == problem
    assert store.submit(problem, key="k") == search
    assert store.search(search.id) == search
    others = ({"report": "rms"}, {"limits": Limits(calls=5)}, {"metric": "kid"}, {"seed": 2})
    for change in (*others, {"sampler": "random", "limits": Limits()}):
        with pytest.raises(Conflict, match=search.id):
            store.submit(replace(problem, **change), key="k")


def test_submit_for_unknown_model(store: Store) -> None:
    """A search of a model that is not there is NotFound, and leaves nothing behind."""
    with pytest.raises(NotFound, match="add it first"):
        store.submit(samples.problem())
    assert store.searches().items == []


def test_submit_without_key_twice(store: Store) -> None:
    """Without an idempotency key, every submission is a search of its own."""
    store.add_model(samples.model())
    assert store.submit(samples.problem()).id != store.submit(samples.problem()).id


def test_submit_with_key_twice(store: Store) -> None:
    """The same key with the same problem is the same search, however far that is by now."""
    store.add_model(samples.model())
    first = store.submit(samples.problem(), key="k")
    claim = Jobs(store).claim("runner", 60)
    assert claim is not None
    assert store.submit(samples.problem(), key="k", priority=9) == claim.search
    assert [search.id for search in store.searches().items] == [first.id]
    assert [event.data["state"] for event in store.events(first.id)] == ["queued", "running"]


def test_submit_with_key_of_another_problem(store: Store) -> None:
    """The same key with another problem is a conflict that names the search."""
    store.add_model(samples.model())
    first = store.submit(samples.problem(), key="k")
    with pytest.raises(Conflict, match=first.id):
        store.submit(samples.problem(nfe=5), key="k")
    assert store.searches().items == [first]


def test_submit_all(store: Store) -> None:
    """Several problems are queued in their order under one key, and claimed in it."""
    store.add_model(samples.model())
    problems = [samples.problem(nfe=nfe) for nfe in (4, 6, 9)]
    searches = store.submit_all(problems, key="k", priority=2)
    assert [search.problem for search in searches] == problems
    assert {search.priority for search in searches} == {2}
    assert [search.id for search in store.searches().items] == [search.id for search in searches][::-1]
    assert store.submit_all(problems, key="k") == searches
    for others in (problems[:1], problems[::-1], [*problems, samples.problem(nfe=10)]):
        with pytest.raises(Conflict, match=searches[0].id):
            store.submit_all(others, key="k")
    with pytest.raises(Conflict, match=searches[0].id):
        store.submit(problems[1], key="k")
    claims = [Jobs(store).claim("runner", 60) for _ in problems]
    assert [claim and claim.search.id for claim in claims] == [search.id for search in searches]
    for search in searches:
        assert [event.data["state"] for event in store.events(search.id)] == ["queued", "running"]


def test_submit_all_or_none(store: Store) -> None:
    """Where one of them cannot be queued, none is."""
    store.add_model(samples.model())
    with pytest.raises(NotFound):
        store.submit_all([samples.problem(), samples.problem("b")])
    assert store.searches().items == []


@pytest.mark.parametrize("effort", ["quick", "standard", "thorough", "custom"])
def test_submit_with_an_effort(store: Store, effort: str) -> None:
    """Effort and precision come back as they went in, and are part of what a key stands for."""
    store.add_model(samples.model())
    problem = Problem("a" * 16, 4, effort=effort, precision=0.1, max_passes=6)
    search = store.submit(problem, key="k")
    assert store.search(search.id).problem == problem
    with pytest.raises(Conflict, match=search.id):
        store.submit(replace(problem, precision=0.2), key="k")


@pytest.mark.parametrize("arguments", [{"key": ""}, {"key": "k" * 256}, {"priority": 1001}, {"priority": True}])
def test_submit_refuses(store: Store, arguments: dict) -> None:
    """Keys and priorities out of range are InvalidInput."""
    store.add_model(samples.model())
    with pytest.raises(InvalidInput, match="got"):
        store.submit(samples.problem(), **arguments)
