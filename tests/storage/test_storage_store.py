"""The store gives back what it was given, on both databases."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from fewstep import processes
from fewstep.errors import Conflict, InvalidInput, NotFound
from fewstep.values.model import Model
from fewstep.values.score import Score
from fewstep.values.search import SearchState
from storage import Jobs, Store
from storage.tables import PublishedRow
from tests.storage import samples
from tests.storage.samples import running
from tests.trials import trial_of

finite = st.floats(allow_nan=False, allow_infinity=False)


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


def test_trial_round_trip(store: Store, jobs: Jobs) -> None:
    """Trials come back equal and in order of number: hand-made, fitted and failed ones."""
    claim = running(store)
    trials = [samples.trial(0), samples.trial(1, None), samples.trial(2, 0.3, samples.fitted())]
    for trial in (trials[2], trials[0], trials[1]):
        jobs.record(claim, trial)
    assert store.trials(claim.search.id) == trials


def test_one_trial(store: Store, jobs: Jobs) -> None:
    """A trial is found by its number in its search, and nothing is found elsewhere."""
    claim = running(store)
    for number in (0, 1):
        jobs.record(claim, samples.trial(number, 0.1 + number))
    assert [store.trial(claim.search.id, number) for number in (0, 1)] == store.trials(claim.search.id)
    for id, number in ((claim.search.id, 2), ("nonesuch", 0)):
        with pytest.raises(NotFound, match=str(number)):
            store.trial(id, number)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=finite,
    error=finite,
    predicted=st.none() | finite.map(lambda number: number + 0.0),  # a column of SQLite keeps no sign of zero
    noises=st.integers(0, 2**40),
    origin=st.text("aΩ\n'%", max_size=9),
)
def test_numbers_round_trip(
    store: Store, value: float, error: float, predicted: float | None, noises: int, origin: str
) -> None:
    """Every finite number comes back with every bit, every text with every letter."""
    claim = running(store)
    score, plan = Score(value, error, noises, 2**40), samples.schedule()
    trial = trial_of(0, plan, score, origin, predicted, None if predicted is None else 0.1)
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
    assert (published.digest, published.model) == (result.schedule.digest, samples.model().id)
    assert published.search == claim.search.id


def test_second_scores_round_trip(store: Store, jobs: Jobs) -> None:
    """The second metric's scores, the interval and the problem with all its limits come back equal."""
    store.add_model(samples.model())
    store.submit(samples.limited())
    claim = jobs.claim("runner", 60)
    assert claim is not None
    result = replace(samples.result(claim.search.problem), ended="calls")
    result = replace(result, cost=replace(result.cost, passes_per_call=2))
    jobs.succeed(claim, result)
    assert store.result(claim.search.id).result == result
    assert result.winner.secondary is not None


def test_result_of_an_older_version(store: Store, jobs: Jobs) -> None:
    """A stored result without the fields that came later is read with their defaults."""
    claim = running(store)
    result = samples.result(claim.search.problem)
    jobs.succeed(claim, result)
    later = ("name", "low", "high", "second", "second_baseline", "ended", "passes", "stages")
    with store.write() as session:
        (row,) = session.scalars(select(PublishedRow))
        fields = row.result
        row.result = {name: value for name, value in fields.items() if name not in later} | {
            "problem": {k: v for k, v in fields["problem"].items() if k not in ("report", "sampler", "limits")}
        }
    winner = replace(result.winner, name="", interval=None)
    assert store.result(claim.search.id).result == replace(result, winner=winner)


def test_result_with_infinity(store: Store, jobs: Jobs) -> None:
    """A result with a number that JSON lacks is refused, and the search stays as it was."""
    claim = running(store)
    with pytest.raises(InvalidInput, match="finite"):
        jobs.succeed(claim, replace(samples.result(claim.search.problem), ratio=float("inf")))
    assert store.search(claim.search.id).state is SearchState.RUNNING
    assert [event.kind for event in store.events(claim.search.id)] == ["state", "state"]


def test_model_values() -> None:
    """A model that contradicts itself is never made."""
    good = samples.model()
    for wrong in ({"id": "b" * 16}, {"digest": "A" * 64}, {"shape": ()}, {"shape": (0,)}, {"shape": (1.0,)}):
        with pytest.raises(InvalidInput, match="got"):
            replace(good, **wrong)
    with pytest.raises(InvalidInput, match="UTC"):
        replace(good, created=good.created.replace(tzinfo=None))
    assert isinstance(good, Model)
