"""The store gives back what it was given, on both databases."""

import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewstep import Schedule, processes
from fewstep.errors import Conflict, InvalidInput, NotFound
from fewstep.problem import Score
from storage import Claim, Jobs, Model, SearchState, Store
from tests.storage import samples

finite = st.floats(allow_nan=False, allow_infinity=False)


def running(store: Store, letter: str = "a", nfe: int = 4, seed: int = 0) -> Claim:
    """A search that a runner has claimed."""
    store.add_model(samples.model(letter))
    store.submit(samples.problem(letter, nfe, seed))
    claim = Jobs(store).claim("runner", 60)
    assert claim is not None
    return claim


def publish(
    store: Store, nfe: int, value: float, seed: int = 0, plan: Schedule | None = None, letter: str = "a"
) -> str:
    """A search that succeeded with that score; its id."""
    claim = running(store, letter, nfe, seed)
    Jobs(store).succeed(claim, samples.result(claim.search.problem, value, plan))
    return claim.search.id


def test_model_round_trip(store: Store) -> None:
    """A model comes back equal, its time to the microsecond and its process to the last digit."""
    model = replace(samples.model(), process=processes.to_dict(processes.VPLinear(beta_min=0.1 + 0.2)))
    assert store.add_model(model) == model
    assert store.model(model.id) == model
    assert store.models() == [model]


def test_add_model_twice(store: Store) -> None:
    """Adding a model again keeps the one that was there first."""
    first = store.add_model(samples.model())
    assert store.add_model(replace(first, summary="another")) == first
    assert store.models() == [first]


def test_colliding_ids(store: Store) -> None:
    """A model whose digest differs but whose id is taken is refused."""
    first = store.add_model(samples.model())
    with pytest.raises(Conflict, match="collide"):
        store.add_model(replace(first, digest=first.id + "b" * 48))


def test_unknown_ids(store: Store) -> None:
    """Every verb answers NotFound to an id that is not there, whatever it holds but NUL."""
    for ask in (store.model, store.delete_model, store.front, store.search, store.trials, store.events, store.schedule):
        for id in ("nothing", "", "é" * 300, "'; --"):
            with pytest.raises(NotFound):
                ask(id)
    with pytest.raises(NotFound, match="nothing"):
        store.best("nothing", 8)


def test_unstorable_text(store: Store) -> None:
    """Text that one of the databases cannot hold is InvalidInput on both."""
    for text in ("a\0b", "\ud800"):
        with pytest.raises(InvalidInput, match="NUL"):
            store.search(text)
    store.add_model(samples.model())
    with pytest.raises(InvalidInput, match="NUL"):
        store.submit(samples.problem(), key="a\0b")
    assert store.searches().items == []


def test_submit(store: Store) -> None:
    """A submitted search is queued, holds the problem and can be read back."""
    store.add_model(samples.model())
    search = store.submit(samples.problem(), priority=3)
    assert (search.problem, search.state, search.attempt) == (samples.problem(), SearchState.QUEUED, 1)
    assert (search.priority, search.evaluations, search.best, search.error) == (3, 0, None, None)
    assert (search.started, search.finished) == (None, None)
    assert re.fullmatch("[0-9a-f]{32}", search.id)
    assert store.search(search.id) == search


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


@pytest.mark.parametrize("arguments", [{"key": ""}, {"key": "k" * 256}, {"priority": 1001}, {"priority": True}])
def test_submit_refuses(store: Store, arguments: dict) -> None:
    """Keys and priorities out of range are InvalidInput."""
    store.add_model(samples.model())
    with pytest.raises(InvalidInput, match="got"):
        store.submit(samples.problem(), **arguments)


def test_trial_round_trip(store: Store, jobs: Jobs) -> None:
    """Trials come back equal and in order of number: hand-made, fitted and failed ones."""
    claim = running(store)
    trials = [samples.trial(0), samples.trial(1, None), samples.trial(2, 0.3, samples.fitted())]
    for trial in (trials[2], trials[0], trials[1]):
        jobs.record(claim, trial)
    assert store.trials(claim.search.id) == trials


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=finite,
    error=finite,
    predicted=st.none() | finite,
    noises=st.integers(0, 2**40),
    origin=st.text("aΩ\n'%", max_size=9),
)
def test_numbers_round_trip(
    store: Store, value: float, error: float, predicted: float | None, noises: int, origin: str
) -> None:
    """Every finite number comes back with every bit, every text with every letter."""
    claim = running(store)
    trial = replace(samples.trial(0), score=Score(value, error, noises, 2**40), predicted=predicted, origin=origin)
    Jobs(store).record(claim, trial)
    assert repr(store.trials(claim.search.id)) == repr([trial])
    Jobs(store).cancel(claim.search.id)


def test_result_round_trip(store: Store, jobs: Jobs) -> None:
    """A result comes back equal, fitted schedule and all."""
    claim = running(store)
    result = samples.result(claim.search.problem, plan=samples.fitted())
    jobs.succeed(claim, replace(result, tau=1 / 3))
    published = store.schedule(result.schedule.digest)
    assert published.result == replace(result, tau=1 / 3)
    assert (published.digest, published.model_id) == (result.schedule.digest, samples.model().id)
    assert published.search_id == claim.search.id


def test_result_with_infinity(store: Store, jobs: Jobs) -> None:
    """A result with a number that JSON lacks is refused, and the search stays as it was."""
    claim = running(store)
    with pytest.raises(InvalidInput, match="finite"):
        jobs.succeed(claim, replace(samples.result(claim.search.problem), ratio=float("inf")))
    assert store.search(claim.search.id).state is SearchState.RUNNING
    assert [event.kind for event in store.events(claim.search.id)] == ["state", "state"]


def test_best(store: Store) -> None:
    """The best is the lowest score of at most that many calls, even if it has fewer."""
    for nfe, value in ((4, 0.5), (6, 0.2), (8, 0.3), (8, 0.4)):
        publish(store, nfe, value)
    assert [store.best("a" * 16, nfe).result.score.value for nfe in (4, 5, 6, 8, 50)] == [0.5, 0.5, 0.2, 0.2, 0.2]
    assert store.best("a" * 16, 8).result.schedule.nfe == 6
    with pytest.raises(NotFound, match="at most 3 calls"):
        store.best("a" * 16, 3)
    with pytest.raises(NotFound):
        store.best("a" * 16, 8, metric="another")


def test_best_of_equals(store: Store) -> None:
    """Of equal scores the one of fewest calls is the best, then the oldest."""
    publish(store, 8, 0.5)
    first = publish(store, 4, 0.5, seed=0)
    publish(store, 4, 0.5, seed=1)
    assert store.best("a" * 16, 8).search_id == first


def test_front(store: Store) -> None:
    """The front is the best of every number of calls, fewest first, of this model only."""
    assert store.front(store.add_model(samples.model()).id) == []
    for nfe, value in ((8, 0.3), (4, 0.5), (8, 0.2), (6, 0.9)):
        publish(store, nfe, value)
    publish(store, 4, 0.01, letter="b")
    front = [(item.result.schedule.nfe, item.result.score.value) for item in store.front("a" * 16)]
    assert front == [(4, 0.5), (6, 0.9), (8, 0.2)]
    assert store.front("a" * 16, metric="endpoint") == store.front("a" * 16)
    assert store.front("a" * 16, metric="another") == []


def test_schedule_published_twice(store: Store) -> None:
    """A schedule that two searches found is served as the first published it."""
    plan = samples.schedule(4)
    first = publish(store, 4, 0.5, plan=plan)
    publish(store, 4, 0.4, seed=1, plan=plan)
    assert store.schedule(plan.digest).search_id == first


def test_delete_model(store: Store) -> None:
    """Deleting a model deletes what hangs on it and nothing else."""
    kept, gone = publish(store, 4, 0.5, letter="b"), publish(store, 8, 0.5)
    store.delete_model("a" * 16)
    assert store.models() == [samples.model("b")]
    assert [search.id for search in store.searches().items] == [kept]
    assert store.events(kept)
    for ask in (store.events, store.trials):
        with pytest.raises(NotFound):
            ask(gone)
    with pytest.raises(NotFound):
        store.schedule(samples.schedule(8).digest)


def test_delete_model_in_use(store: Store, jobs: Jobs) -> None:
    """A model cannot be deleted while a search of it is queued, running or paused; the message names the search."""
    store.add_model(samples.model())
    search = store.submit(samples.problem())
    moves = [lambda: None, lambda: jobs.claim("runner", 60), lambda: jobs.pause(search.id)]
    for move in moves:
        move()
        with pytest.raises(Conflict, match=search.id):
            store.delete_model(samples.model().id)
    jobs.cancel(search.id)
    store.delete_model(samples.model().id)
    assert store.models() == []


def test_model_values() -> None:
    """A model that contradicts itself is never made."""
    good = samples.model()
    for wrong in ({"id": "b" * 16}, {"digest": "A" * 64}, {"shape": ()}, {"shape": (0,)}, {"shape": (1.0,)}):
        with pytest.raises(InvalidInput, match="got"):
            replace(good, **wrong)
    with pytest.raises(InvalidInput, match="UTC"):
        replace(good, created=good.created.replace(tzinfo=None))
    assert isinstance(good, Model)
