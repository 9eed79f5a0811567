"""Pages of searches and of events."""

import pytest

from fewstep.errors import InvalidInput
from fewstep.values.search import SearchState
from storage import Jobs, Store
from tests.storage import samples


def walk(store: Store, limit: int, **filters: object) -> list[str]:
    """Ids of every page in turn."""
    ids, cursor = [], None
    while True:
        page = store.searches(limit, cursor, **filters)
        assert len(page.items) <= limit
        ids += [search.id for search in page.items]
        if page.next is None:
            return ids
        cursor = page.next


def test_pages_cover(store: Store) -> None:
    """Pages of any length show every search once, newest first."""
    store.add_model(samples.model())
    ids = [store.submit(samples.problem(seed=seed)).id for seed in range(7)]
    for limit in (1, 2, 3, 6, 7, 8):
        assert walk(store, limit) == ids[::-1]


def test_no_empty_last_page(store: Store) -> None:
    """A page that ends exactly at the last search says that nothing follows."""
    store.add_model(samples.model())
    for seed in range(4):
        store.submit(samples.problem(seed=seed))
    first = store.searches(2)
    assert first.next is not None
    assert store.searches(2, first.next).next is None
    assert store.searches(4).next is None


def test_pages_while_searches_come(store: Store) -> None:
    """Searches submitted during the walk neither repeat nor hide the older ones."""
    store.add_model(samples.model())
    ids = [store.submit(samples.problem(seed=seed)).id for seed in range(4)]
    first = store.searches(2)
    store.submit(samples.problem(seed=9))
    second = store.searches(2, first.next)
    assert [search.id for search in first.items + second.items] == ids[::-1]


def test_filters(store: Store) -> None:
    """State and model filter, together and across pages."""
    for letter in "ab":
        store.add_model(samples.model(letter))
    ids = {letter: [store.submit(samples.problem(letter, seed=seed)).id for seed in range(3)] for letter in "ab"}
    Jobs(store).cancel(ids["a"][1])
    assert walk(store, 1, model="a" * 16) == ids["a"][::-1]
    assert walk(store, 1, state="cancelled") == [ids["a"][1]]
    assert walk(store, 1, state=SearchState.QUEUED, model="a" * 16) == [ids["a"][2], ids["a"][0]]
    assert walk(store, 1, model="unknown") == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"limit": 0},
        {"limit": 501},
        {"limit": True},
        {"cursor": "x"},
        {"cursor": ""},
        {"cursor": "-1"},
        {"cursor": "9" * 30},
        {"cursor": "²"},
        {"state": "asleep"},
    ],
)
def test_pages_refuse(store: Store, arguments: dict) -> None:
    """Limits, cursors and states that are not ours are InvalidInput."""
    with pytest.raises(InvalidInput, match="got"):
        store.searches(**arguments)


def test_events_after(store: Store) -> None:
    """Reading events in small pages after the last one seen shows every event once, in order."""
    store.add_model(samples.model())
    search = store.submit(samples.problem())
    other = store.submit(samples.problem(seed=1))
    jobs = Jobs(store)
    claim = jobs.claim("runner", 60)
    for done in range(5):
        jobs.phase(claim, "baselines", done, 5)
    jobs.cancel(other.id)
    events = store.events(search.id)
    assert [event.kind for event in events] == ["state"] * 2 + ["phase"] * 5
    seen = []
    while page := store.events(search.id, after=seen[-1].id if seen else 0, limit=2):
        seen += page
    assert seen == events


@pytest.mark.parametrize("arguments", [{"after": -1}, {"after": 2**63}, {"limit": 0}, {"limit": 501}])
def test_events_refuse(store: Store, arguments: dict) -> None:
    """Numbers out of range are InvalidInput."""
    store.add_model(samples.model())
    search = store.submit(samples.problem())
    with pytest.raises(InvalidInput, match="got"):
        store.events(search.id, **arguments)


def test_trials_after(store: Store) -> None:
    """Reading trials in small pages after the last one seen shows every trial once, in order."""
    store.add_model(samples.model())
    search = store.submit(samples.problem())
    claim = Jobs(store).claim("runner", 60)
    for number in (3, 0, 2, 1, 4):
        Jobs(store).record(claim, samples.trial(number))
    seen = []
    while page := store.trials(search.id, after=seen[-1].number if seen else -1, limit=2):
        seen += page
    assert seen == store.trials(search.id)
    assert [trial.number for trial in seen] == [0, 1, 2, 3, 4]
    for arguments in ({"after": -2}, {"limit": 0}):
        with pytest.raises(InvalidInput, match="got"):
            store.trials(search.id, **arguments)
