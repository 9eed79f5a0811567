"""A model's arc length, kept as the first search of it measured it."""

import pytest

from fewstep.errors import NotFound
from storage import Jobs, LeaseLost, Store
from tests.storage import samples
from tests.storage.samples import running


def test_a_curve_is_given_back_exactly(store: Store, jobs: Jobs) -> None:
    """Every number of it, under its own model and no other; until there is one, the message says what to do."""
    claim = running(store)
    store.add_model(samples.model("b"))
    with pytest.raises(NotFound, match="has measured its curve yet: submit one"):
        store.curve("a" * 16)
    jobs.record_curve(claim, samples.arc())
    assert store.curve("a" * 16).to_dict() == samples.arc().to_dict()
    with pytest.raises(NotFound, match="has measured its curve yet"):
        store.curve("b" * 16)
    with pytest.raises(NotFound, match="there is no model"):
        store.curve("c" * 16)


def test_the_first_one_stays(store: Store, jobs: Jobs) -> None:
    """A search that is taken up again, and a later search, change nothing."""
    first = running(store, seed=0)
    jobs.record_curve(first, samples.arc(0.3))
    jobs.record_curve(first, samples.arc(0.2))
    jobs.record_curve(running(store, seed=1), samples.arc(0.1))
    assert store.curve("a" * 16).to_dict() == samples.arc(0.3).to_dict()


def test_it_goes_with_its_model(store: Store, jobs: Jobs) -> None:
    """A model that is forgotten and added again has to be measured anew."""
    claim = running(store)
    jobs.record_curve(claim, samples.arc())
    jobs.cancel(claim.search.id)
    store.delete_model("a" * 16)
    store.add_model(samples.model())
    with pytest.raises(NotFound, match="has measured"):
        store.curve("a" * 16)


def test_a_lost_lease_leaves_no_curve(store: Store, jobs: Jobs) -> None:
    """Whoever works on a search that was taken away may not say anything about its model."""
    claim = running(store)
    jobs.cancel(claim.search.id)
    with pytest.raises(LeaseLost):
        jobs.record_curve(claim, samples.arc())
    with pytest.raises(NotFound):
        store.curve("a" * 16)
