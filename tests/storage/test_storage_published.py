"""The best schedules, and forgetting a model with all of its own."""

from typing import Any

import pytest

from fewstep.errors import Conflict, NotFound
from fewstep.values.problem import Problem
from storage import Jobs, Store
from tests.storage import samples
from tests.storage.samples import publish, running
from tests.trials import trial_of


def test_result_of_search(store: Store, jobs: Jobs) -> None:
    """A search's own result is found, also where another search published the same schedule first."""
    publish(store, 4, 0.1, seed=1)
    claim = running(store, seed=2)
    with pytest.raises(NotFound, match=claim.search.id):
        store.result(claim.search.id)
    jobs.succeed(claim, samples.result(claim.search.problem, 0.2))
    published = store.result(claim.search.id)
    assert published.result == samples.result(claim.search.problem, 0.2)
    assert published.search == claim.search.id


def test_best(store: Store) -> None:
    """The best has the most calls, of these the lowest score, unless one of fewer calls is lower by all its interval;
    intervals of `publish` reach from half a value to twice it."""
    for nfe, value in ((4, 0.5), (6, 0.2), (8, 0.3), (8, 0.4), (9, 0.81)):
        publish(store, nfe, value)
    best = {nfe: store.best("a" * 16, nfe).result for nfe in (4, 5, 6, 8, 9, 50)}
    assert [result.score.value for result in best.values()] == [0.5, 0.5, 0.2, 0.3, 0.2, 0.2]
    assert [result.schedule.nfe for result in best.values()] == [4, 4, 6, 8, 6, 6]
    with pytest.raises(NotFound, match="at most 3 calls by 'mean' yet: submit a search"):
        store.best("a" * 16, 3)


def test_best_by_another_metric(store: Store) -> None:
    """Where there are results by other metrics alone, these are named."""
    publish(store, 4, 0.5, metric="rms")
    publish(store, 5, 0.5, metric="frechet")
    with pytest.raises(NotFound, match="by 'mean' yet: there are some by frechet:pixels:teacher, rms: ask for one"):
        store.best("a" * 16, 8)
    with pytest.raises(NotFound, match="there are some by rms: ask"):
        store.best("a" * 16, 4)


def test_best_of_equals(store: Store) -> None:
    """Of equal scores the one of most calls is the best, then the oldest."""
    publish(store, 4, 0.5)
    first = publish(store, 8, 0.5, seed=0)
    publish(store, 8, 0.5, seed=1)
    assert store.best("a" * 16, 8).search == first


def test_front(store: Store) -> None:
    """The front is the best of every number of calls, fewest first, of this model only."""
    assert store.front(store.add_model(samples.model()).id) == []
    for nfe, value in ((8, 0.3), (4, 0.5), (8, 0.2), (6, 0.9)):
        publish(store, nfe, value)
    publish(store, 4, 0.01, letter="b")
    front = [(item.result.schedule.nfe, item.result.score.value) for item in store.front("a" * 16)]
    assert front == [(4, 0.5), (6, 0.9), (8, 0.2)]
    assert store.front("a" * 16, metric="mean") == store.front("a" * 16)
    assert store.front("a" * 16, metric="another") == []


def test_metrics_are_kept_apart(store: Store) -> None:
    """Best and front are those of one metric by its whole text; a front without one has each metric's own."""
    publish(store, 4, 0.5)
    publish(store, 4, 7.0, metric="frechet:digits")
    publish(store, 6, 3.0, metric="frechet:digits")
    publish(store, 4, 9.0, metric="frechet")
    text = "frechet:digits:teacher"
    assert store.best("a" * 16, 8).result.score.value == 0.5
    assert store.best("a" * 16, 8, text).result.score.value == 3.0
    assert store.best("a" * 16, 4, text).result.score.value == 7.0
    assert [item.result.score.value for item in store.front("a" * 16, text)] == [7.0, 3.0]
    assert [item.result.score.value for item in store.front("a" * 16)] == [7.0, 3.0, 9.0, 0.5]
    with pytest.raises(NotFound, match="'kid'"):
        store.best("a" * 16, 8, "kid")


def test_expected_ratio(store: Store, jobs: Jobs) -> None:
    """The median of earlier results of metric, effort and number of calls: of the model's own, else of all."""

    def ended(value: float, **kind: Any) -> None:
        jobs.succeed(claim := running(store, **kind), samples.result(claim.search.problem, value))

    mine = samples.problem()
    assert store.expected_ratio(mine) is None
    for value, letter in ((0.02, "b"), (0.04, "b"), (0.18, "c")):
        ended(value, letter=letter)
    assert store.expected_ratio(mine) == pytest.approx(0.2)
    ended(0.1)
    assert store.expected_ratio(mine) == pytest.approx(0.5)
    for other in (samples.problem(nfe=5), samples.problem(metric="rms"), Problem(mine.model, 4)):
        assert store.expected_ratio(other) is None


def test_neighbours(store: Store, jobs: Jobs) -> None:
    """The last search of each of the nearest other numbers of calls, of the same model and metric, as they were."""
    mine = samples.problem(nfe=6)

    def ended(nfe: int, origin: str, **kind: str) -> None:
        claim = running(store, nfe=nfe, **kind)
        for number in range(3):
            jobs.record(claim, trial_of(number, samples.schedule(), samples.score(), origin))
        jobs.succeed(claim, samples.result(claim.search.problem))

    for nfe, origin in ((5, "old five"), (5, "five"), (9, "nine"), (7, "seven"), (6, "six"), (8, "eight")):
        ended(nfe, origin)
    ended(5, "another metric", metric="kid")
    ended(5, "another model", letter="b")
    until = running(store, nfe=6).search.started
    ended(5, "later")
    assert until is not None
    found = store.neighbours(mine, until)
    assert [str(trial.origin) for trial in found] == ["five"] * 3 + ["seven"] * 3 + ["eight"] * 3
    few = store.neighbours(mine, until, searches=1, trials=2)
    assert [(str(trial.origin), trial.number) for trial in few] == [("five", 0), ("five", 1)]
    others = store.neighbours(samples.problem("b", nfe=6), until)
    assert [str(trial.origin) for trial in others] == ["another model"] * 3
    assert store.neighbours(samples.problem(nfe=6, metric="cmmd"), until) == []


def test_lessons(store: Store, jobs: Jobs) -> None:
    """What searches of other models left by the same metric until then, newest first; deleted with their model."""

    def ended(lesson: str | None, **kind: str) -> None:
        claim = running(store, nfe=5, **kind)
        jobs.succeed(claim, samples.result(claim.search.problem), lesson)

    ended("old", letter="b")
    ended("own")
    ended("another metric", letter="b", metric="kid")
    ended(None, letter="b")
    ended("new", letter="c")
    until = running(store, nfe=6).search.started
    ended("later", letter="c")
    assert until is not None
    mine = samples.problem(nfe=6)
    assert store.lessons(mine, until) == ["new", "old"]
    assert store.lessons(mine, until, limit=1) == ["new"]
    assert store.lessons(samples.problem("b", nfe=6), until) == ["new", "own"]
    store.delete_model("c" * 16)
    assert store.lessons(mine, until) == ["old"]


def test_front_as_it_was(store: Store) -> None:
    """What was published later does not change the front at an earlier time."""
    publish(store, 8, 0.3)
    then = store.front("a" * 16)
    publish(store, 8, 0.2)
    publish(store, 4, 0.5)
    assert store.front("a" * 16, until=then[0].created) == then
    assert len(store.front("a" * 16)) == 2


def test_schedule_published_twice(store: Store) -> None:
    """A schedule that two searches found is served as the first published it."""
    plan = samples.schedule(4)
    first = publish(store, 4, 0.5, plan=plan)
    publish(store, 4, 0.4, seed=1, plan=plan)
    assert store.schedule(plan.digest).search == first


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
