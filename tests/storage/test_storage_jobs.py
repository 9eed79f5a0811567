"""The verbs of runners and of users on searches."""

from dataclasses import replace

import pytest

from fewstep.errors import Conflict, InvalidInput, NotFound
from fewstep.values.search import Search, SearchState
from storage import Claim, Jobs, Store
from tests.storage import samples
from tests.storage.samples import report, states


def test_claim(store: Store, jobs: Jobs, search: Search) -> None:
    """A claimed search runs, knows when it started, and is not given to a second runner."""
    claim = jobs.claim("runner-1", 60)
    assert claim is not None
    assert claim.search == store.search(search.id)
    assert claim.search.state is SearchState.RUNNING
    assert claim.search.started is not None
    assert claim.search.started >= search.created
    assert jobs.claim("runner-2", 60) is None


def test_claim_of_nothing(jobs: Jobs) -> None:
    """An empty queue gives None."""
    assert jobs.claim("runner", 60) is None


def test_order_of_claims(store: Store, jobs: Jobs) -> None:
    """The highest priority comes first, then the oldest."""
    store.add_model(samples.model())
    priorities = (0, 5, -1, 5, 0)
    ids = [store.submit(samples.problem(seed=i), priority=p).id for i, p in enumerate(priorities)]
    claimed = [jobs.claim("runner", 60).search.id for _ in ids]
    assert [ids.index(id) for id in claimed] == [1, 3, 0, 4, 2]


def test_a_claim_beside_others(store: Store, jobs: Jobs) -> None:
    """Beside searches under way it is one of their model, and not one that begins with what one of them finds."""
    for letter in "ab":
        store.add_model(samples.model(letter))
    five, six, eight = (store.submit(samples.problem("a", nfe=nfe)).id for nfe in (5, 6, 8))
    first = jobs.claim("runner", 60)
    assert first is not None
    assert first.search.id == five
    store.submit(samples.problem("b", nfe=5), priority=9)
    second = jobs.claim("runner", 60, beside=[first.search])
    assert second is not None
    assert second.search.id == eight
    assert jobs.claim("runner", 60, beside=[first.search, second.search]) is None
    third = jobs.claim("runner", 60, beside=[second.search])
    assert third is not None
    assert third.search.id == six


def test_slots_are_an_event(store: Store, jobs: Jobs, claim: Claim) -> None:
    """The share of the time that each slot has worked."""
    jobs.slots(claim, [0.9, 1.0])
    assert [event.data for event in store.events(claim.search.id) if event.kind == "slots"] == [{"busy": [0.9, 1.0]}]


def test_record(store: Store, jobs: Jobs, claim: Claim) -> None:
    """Trials are counted, the best is kept, and every event tells the best so far."""
    for number, value in enumerate((None, 0.5, 0.7, 0.2, None)):
        jobs.record(claim, samples.trial(number, value))
    found = store.search(claim.search.id)
    assert (found.evaluations, found.best) == (5, samples.score(0.2))
    events = [event.data for event in store.events(found.id) if event.kind == "trial"]
    assert [event["best"] for event in events] == [None, 0.5, 0.5, 0.2, 0.2]
    assert events[1] == {
        "number": 1,
        "origin": "mutation",
        "stage": "guided",
        "value": 0.5,
        "standard_error": 0.5 / 7,
        "noises": 64,
        "predicted": -1 / 3,
        "best": 0.5,
    }
    assert [events[0][name] for name in ("value", "standard_error", "noises", "predicted")] == [None] * 4


def test_record_zero(store: Store, jobs: Jobs, claim: Claim) -> None:
    """A score of zero is a score."""
    jobs.record(claim, samples.trial(0, 0.0))
    jobs.record(claim, samples.trial(1, 0.1))
    assert store.search(claim.search.id).best == samples.score(0.0)
    assert [event.data["best"] for event in store.events(claim.search.id) if event.kind == "trial"] == [0.0, 0.0]


def test_record_twice(store: Store, jobs: Jobs, claim: Claim) -> None:
    """Recording a number again changes nothing: not the trial, not the count, not the log."""
    jobs.record(claim, samples.trial(0, 0.5))
    before = (store.search(claim.search.id), store.trials(claim.search.id), store.events(claim.search.id))
    jobs.record(claim, samples.trial(0, 0.1))
    assert (store.search(claim.search.id), store.trials(claim.search.id), store.events(claim.search.id)) == before


def test_record_after_restart(store: Store, jobs: Jobs, claim: Claim) -> None:
    """What one runner recorded is there for the next, which goes on counting."""
    jobs.record(claim, samples.trial(0, 0.5))
    jobs.release(claim)
    again = jobs.claim("runner-2", 60)
    assert (again.search.evaluations, again.search.best) == (1, samples.score(0.5))
    jobs.record(again, samples.trial(0, 0.5))
    jobs.record(again, samples.trial(1, 0.4))
    assert store.search(claim.search.id).evaluations == len(store.trials(claim.search.id)) == 2


def test_succeed(store: Store, jobs: Jobs, claim: Claim) -> None:
    """Success publishes the schedule, finishes the search and tells both."""
    result = samples.summarised(samples.result(claim.search.problem))
    jobs.succeed(claim, result)
    found = store.search(claim.search.id)
    assert (found.state, found.error) == (SearchState.SUCCEEDED, None)
    assert found.finished is not None
    assert found.finished >= found.started
    assert store.best(samples.model().id, 4).result == result
    published, state = store.events(found.id)[-2:]
    assert (published.kind, state.kind) == ("published", "state")
    assert published.data == {"digest": result.schedule.digest, "nfe": 4, "ratio": result.ratio}
    assert state.data == {"state": "succeeded"}


def test_succeed_with_another_problem(store: Store, jobs: Jobs, claim: Claim) -> None:
    """A result that answers another problem is refused and the search goes on."""
    with pytest.raises(InvalidInput, match="answers"):
        jobs.succeed(claim, samples.result(replace(claim.search.problem, seed=7)))
    jobs.heartbeat(claim, 60)


def test_fail(store: Store, jobs: Jobs, claim: Claim) -> None:
    """Failure keeps its reason, even one with letters that no database stores."""
    jobs.fail(claim, "bad\0 \ud800 end")
    found = store.search(claim.search.id)
    assert (found.state, found.error) == (SearchState.FAILED, "bad? ? end")
    assert found.finished is not None
    assert store.events(found.id)[-1].data == {"state": "failed", "reason": "bad? ? end"}


def test_pause_and_resume(store: Store, jobs: Jobs, search: Search) -> None:
    """A paused search is not claimed, whether it waited or ran; a resumed one is."""
    assert jobs.pause(search.id).state is SearchState.PAUSED
    assert jobs.claim("runner", 60) is None
    assert jobs.resume(search.id).state is SearchState.QUEUED
    assert jobs.claim("runner", 60) is not None
    jobs.pause(search.id)
    assert jobs.claim("runner", 60) is None
    jobs.resume(search.id)
    assert jobs.claim("runner", 60).search.attempt == 1
    told = ["queued", "paused", "queued", "running", "paused", "queued", "running"]
    assert states(store, search.id) == told


def test_orders_twice(store: Store, jobs: Jobs, search: Search) -> None:
    """Pausing, resuming or cancelling twice is the same as once, in the log as well."""
    for verb, state in ((jobs.pause, "paused"), (jobs.resume, "queued"), (jobs.cancel, "cancelled")):
        first = verb(search.id)
        assert verb(search.id) == first
        assert first.state == state
    assert states(store, search.id) == ["queued", "paused", "queued", "cancelled"]


def test_resume_of_running(store: Store, jobs: Jobs, claim: Claim) -> None:
    """Resuming what runs already leaves it alone."""
    assert jobs.resume(claim.search.id) == claim.search
    jobs.heartbeat(claim, 60)


@pytest.mark.parametrize("end", ["succeed", "fail", "cancel"])
def test_orders_after_the_end(store: Store, jobs: Jobs, claim: Claim, end: str) -> None:
    """A finished search can be neither paused nor resumed nor, unless that is how it ended, cancelled."""
    id = claim.search.id
    {**report(jobs, claim), "cancel": lambda: jobs.cancel(id)}[end]()
    before = store.search(id)
    for verb in (jobs.pause, jobs.resume) if end == "cancel" else (jobs.pause, jobs.resume, jobs.cancel):
        with pytest.raises(Conflict, match=before.state):
            verb(id)
    assert store.search(id) == before


def test_orders_for_unknown(jobs: Jobs) -> None:
    """Orders for a search that is not there are NotFound."""
    for verb in (jobs.pause, jobs.resume, jobs.cancel):
        with pytest.raises(NotFound):
            verb("nothing")
