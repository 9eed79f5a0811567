"""Several runners at once, and runners that die at the worst moment: real processes, killed with SIGKILL."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from fewstep.errors import Conflict, NotFound
from fewstep.values.search import SearchState
from storage import Claim, Jobs, Store
from tests.storage import children, samples
from tests.storage.parent import CHILDREN, WAIT, child, hear, kill


def test_threads_never_share_a_claim(store: Store, jobs: Jobs) -> None:
    """Eight threads that claim at once share the queue among them: every search once."""
    store.add_model(samples.model())
    ids = {store.submit(samples.problem(seed=seed)).id for seed in range(40)}
    start = Barrier(8)

    def work(_: int) -> list[str]:
        start.wait(WAIT)
        found = []
        while (claim := jobs.claim("thread", 60)) is not None:
            found.append(claim.search.id)
        return found

    with ThreadPoolExecutor(8) as pool:
        claimed = Counter(id for found in pool.map(work, range(8)) for id in found)
    assert set(claimed) == ids
    assert set(claimed.values()) == {1}


def test_processes_never_share_a_claim(store: Store) -> None:
    """Three processes that claim at once share the queue among them: every search once."""
    store.add_model(samples.model())
    ids = {store.submit(samples.problem(seed=seed)).id for seed in range(60)}
    start = CHILDREN.Barrier(3)
    with (
        child(children.claim_all, store.url, start) as (_, one),
        child(children.claim_all, store.url, start) as (_, two),
        child(children.claim_all, store.url, start) as (_, three),
    ):
        claimed = Counter(id for said in (one, two, three) for id in hear(said))
    assert set(claimed) == ids
    assert set(claimed.values()) == {1}


def test_one_search_per_key(store: Store) -> None:
    """Threads that submit with the same idempotency key at once all get the same search."""
    store.add_model(samples.model())
    start = Barrier(6)

    def submit(_: int) -> str:
        start.wait(WAIT)
        return store.submit(samples.problem(), key="k").id

    with ThreadPoolExecutor(6) as pool:
        ids = set(pool.map(submit, range(6)))
    assert [search.id for search in store.searches().items] == list(ids)


def test_submit_while_the_model_goes(store: Store, jobs: Jobs) -> None:
    """A search submitted while its model is deleted is either refused or keeps the model from going."""
    for _ in range(8):
        store.add_model(samples.model())
        start = Barrier(2)

        def submit(start: Barrier = start) -> str | None:
            start.wait(WAIT)
            try:
                return store.submit(samples.problem()).id
            except NotFound:
                return None

        def forget(start: Barrier = start) -> bool:
            start.wait(WAIT)
            try:
                store.delete_model(samples.model().id)
            except Conflict:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            submitted, gone = pool.submit(submit), pool.submit(forget)
        assert (submitted.result() is None) == gone.result()
        assert len(store.searches().items) == len(store.models()) == (0 if gone.result() else 1)
        for search in store.searches().items:
            jobs.cancel(search.id)
            store.delete_model(samples.model().id)


def test_one_end_per_search(store: Store, jobs: Jobs) -> None:
    """Of success, failure, pause and cancellation at once, exactly what the log tells happened."""
    store.add_model(samples.model())
    for seed in range(6):
        id = store.submit(samples.problem(seed=seed)).id
        claim = jobs.claim("runner", 60)
        start = Barrier(4)

        def attempt(verb: Callable, claim: Claim | None = claim, start: Barrier = start) -> bool:
            start.wait(WAIT)
            try:
                verb(claim)
            except Conflict:
                return False
            return True

        verbs = (
            lambda claim: jobs.succeed(claim, samples.result(claim.search.problem)),
            lambda claim: jobs.fail(claim, "no"),
            lambda claim: jobs.pause(claim.search.id),
            lambda claim: jobs.cancel(claim.search.id),
        )
        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(attempt, verbs))
        told = [event.data["state"] for event in store.events(id) if event.kind == "state"][2:]
        assert sum(done) == len(told)
        assert store.search(id).state == told[-1]
        assert told in (["succeeded"], ["failed"], ["paused"], ["paused", "cancelled"], ["cancelled"])
        published = [item.search for item in store.front(samples.model().id) if item.search == id]
        assert (store.search(id).state is SearchState.SUCCEEDED) or not published


@pytest.mark.parametrize("verb", ["claim", "record", "succeed"])
def test_killed_before_commit(store: Store, jobs: Jobs, verb: str) -> None:
    """A runner killed in the middle of a transaction leaves no trace of it, and the verb can be done again."""
    store.add_model(samples.model())
    id = store.submit(samples.problem()).id
    claim = None if verb == "claim" else jobs.claim("runner", 60)
    arguments = {
        "claim": ("runner", 60.0),
        "record": (claim, samples.trial(0)),
        "succeed": (claim, samples.result(samples.problem())),
    }[verb]
    before = (store.search(id), store.trials(id), store.events(id))
    with child(children.hang_before_commit, store.url, Jobs, verb, arguments) as (process, said):
        assert hear(said) == "about to commit"
        kill(process)
    assert (store.search(id), store.trials(id), store.events(id)) == before
    assert store.front(samples.model().id) == []
    getattr(jobs, verb)(*arguments)
    assert store.events(id) != before[2]


def test_killed_at_any_moment(store: Store, jobs: Jobs) -> None:
    """A runner killed while it records loses no trial that it was told is recorded, and leaves none half-way; the
    next one goes on from there."""
    store.add_model(samples.model())
    id = store.submit(samples.problem()).id
    for wanted in (1, 8):
        claim = jobs.claim("runner", 60)
        with child(children.record_until_killed, store.url, claim) as (process, said):
            for _ in range(wanted):
                told = hear(said)
            kill(process)
            while said.poll():
                try:
                    told = said.recv()
                except EOFError:
                    break
        search, trials = store.search(id), store.trials(id)
        numbers = [trial.number for trial in trials]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) in (told + 1, told + 2)  # killed before it could say so
        assert search.evaluations == len(numbers)
        assert search.best == min((trial.score for trial in trials), key=lambda score: score.value)
        events = [event for event in store.events(id) if event.kind == "trial"]
        assert [event.data["number"] for event in events] == numbers
        jobs.release(claim)
