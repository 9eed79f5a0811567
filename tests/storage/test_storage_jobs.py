"""The job state machine: leases, fencing, orders and the log, on both databases."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from sqlalchemy import update

from fewstep.errors import Conflict, FewstepError, InvalidInput, NotFound
from storage import Claim, Jobs, LeaseLost, Search, SearchState, Store
from storage.tables import SearchRow
from tests.storage import samples


@pytest.fixture
def search(store: Store) -> Search:
    """A queued search."""
    store.add_model(samples.model())
    return store.submit(samples.problem())


@pytest.fixture
def claim(jobs: Jobs, search: Search) -> Claim:
    """A lease on it."""
    claim = jobs.claim("runner-1", 60)
    assert claim is not None
    return claim


def states(store: Store, id: str) -> list[str]:
    """Every state the log tells of."""
    return [event.data["state"] for event in store.events(id) if event.kind == "state"]


def report(jobs: Jobs, claim: Claim) -> dict[str, Callable[[], object]]:
    """Every verb of a claim, ready to call."""
    return {
        "heartbeat": lambda: jobs.heartbeat(claim, 60),
        "record": lambda: jobs.record(claim, samples.trial(0)),
        "phase": lambda: jobs.phase(claim, "baselines", 1, 2),
        "release": lambda: jobs.release(claim),
        "fail": lambda: jobs.fail(claim, "no"),
        "succeed": lambda: jobs.succeed(claim, samples.result(claim.search.problem)),
    }


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


@pytest.mark.parametrize("lease", [0, -1, float("nan"), float("inf"), 1e9])
def test_unusable_leases(jobs: Jobs, claim: Claim, lease: float) -> None:
    """A lease that is no length of time is refused, and changes nothing."""
    with pytest.raises(InvalidInput, match="lease"):
        jobs.heartbeat(claim, lease)
    jobs.release(claim)
    with pytest.raises(InvalidInput, match="lease"):
        jobs.claim("runner", lease)
    assert jobs.claim("runner", 60) is not None


@pytest.mark.parametrize("verb", ["heartbeat", "record", "phase", "release", "fail", "succeed"])
@pytest.mark.parametrize("how", ["pause", "cancel", "release", "succeed", "fail", "reclaim", "delete"])
def test_stale_claims(store: Store, jobs: Jobs, claim: Claim, verb: str, how: str) -> None:
    """Once the lease is lost, whatever the way, no verb of the old claim changes anything any more."""
    id = claim.search.id
    losses: dict[str, Callable[[], object]] = {
        "pause": lambda: jobs.pause(id),
        "cancel": lambda: jobs.cancel(id),
        "reclaim": lambda: (jobs.release(claim), jobs.claim("runner-2", 60)),
        "delete": lambda: (jobs.cancel(id), store.delete_model(samples.model().id)),
    }
    {**report(jobs, claim), **losses}[how]()
    before = None if how == "delete" else (store.search(id), store.events(id), store.trials(id))
    with pytest.raises(LeaseLost, match="stop working on it"):
        report(jobs, claim)[verb]()
    if before is None:
        assert store.searches().items == []
    else:
        assert (store.search(id), store.events(id), store.trials(id)) == before


def test_forged_token(store: Store, jobs: Jobs, claim: Claim) -> None:
    """A running search obeys its own token only."""
    with pytest.raises(LeaseLost):
        jobs.fail(Claim(claim.search, "0" * 32), "no")
    jobs.heartbeat(claim, 60)


def test_token_without_running(store: Store, jobs: Jobs, claim: Claim) -> None:
    """The right token does not help where the search is not running, even if somebody's SQL left it there."""
    with store.write() as session:
        session.execute(update(SearchRow).values(state=SearchState.PAUSED))
    with pytest.raises(LeaseLost, match="is paused"):
        jobs.heartbeat(claim, 60)


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
        "value": 0.5,
        "standard_error": 0.5 / 7,
        "predicted": -1 / 3,
        "best": 0.5,
    }
    assert (events[0]["value"], events[0]["standard_error"], events[0]["predicted"]) == (None, None, None)


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


def test_phase(store: Store, jobs: Jobs, claim: Claim) -> None:
    """A phase is told in the log."""
    jobs.phase(claim, "teacher", 3, 10)
    assert store.events(claim.search.id)[-1].data == {"phase": "teacher", "done": 3, "total": 10}


def test_succeed(store: Store, jobs: Jobs, claim: Claim) -> None:
    """Success publishes the schedule, finishes the search and tells both."""
    result = samples.result(claim.search.problem)
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


def test_release(store: Store, jobs: Jobs, claim: Claim) -> None:
    """A released search waits again, in the same attempt, and keeps its start time."""
    jobs.release(claim)
    assert store.search(claim.search.id).state is SearchState.QUEUED
    again = jobs.claim("runner-2", 60)
    assert (again.search.attempt, again.search.started) == (1, claim.search.started)
    assert again.token != claim.token


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


def test_reap_leaves_live_leases(store: Store, jobs: Jobs, claim: Claim, shift_clock: Callable) -> None:
    """A lease that has not run out is left alone, up to its last second."""
    shift_clock(30)
    assert jobs.reap() == []
    jobs.heartbeat(claim, 60)
    shift_clock(80)
    assert jobs.reap() == []
    assert store.search(claim.search.id).state is SearchState.RUNNING


def test_reap_requeues(store: Store, jobs: Jobs, claim: Claim, shift_clock: Callable) -> None:
    """When the database's clock has passed the lease, the search is queued for the next attempt; trials stay."""
    jobs.record(claim, samples.trial(0))
    shift_clock(61)
    (reaped,) = jobs.reap()
    assert reaped == store.search(claim.search.id)
    assert (reaped.state, reaped.attempt, reaped.evaluations, reaped.error) == (SearchState.QUEUED, 2, 1, None)
    data = store.events(reaped.id)[-1].data
    assert data["state"] == "queued"
    assert "runner-1 stopped answering in attempt 1 of 3" in data["reason"]
    assert jobs.reap() == []
    with pytest.raises(LeaseLost):
        jobs.heartbeat(claim, 60)


def test_reap_gives_up(store: Store, jobs: Jobs, search: Search, shift_clock: Callable) -> None:
    """After the last attempt the search fails, and says why."""
    for attempt in (1, 2):
        assert jobs.claim("runner-1", 60).search.attempt == attempt
        shift_clock(attempt * 100)
        (reaped,) = jobs.reap(max_attempts=2)
    assert (reaped.state, reaped.attempt) == (SearchState.FAILED, 2)
    assert reaped.error == "runner runner-1 stopped answering in attempt 2 of 2"
    assert reaped.finished is not None
    assert jobs.claim("runner-1", 60) is None


def test_heartbeat_after_the_lease(jobs: Jobs, claim: Claim, shift_clock: Callable) -> None:
    """A late heartbeat still counts as long as nobody took the search away."""
    shift_clock(61)
    jobs.heartbeat(claim, 60)
    assert jobs.reap() == []


def test_reap_skips_the_rest(store: Store, jobs: Jobs, claim: Claim, shift_clock: Callable) -> None:
    """Only running searches are reaped."""
    store.submit(samples.problem(seed=1))
    jobs.pause(claim.search.id)
    shift_clock(3600)
    assert jobs.reap() == []


def test_times_are_the_databases(store: Store, jobs: Jobs, search: Search, shift_clock: Callable) -> None:
    """Every time that is stored comes from the database's clock, in UTC."""
    shift_clock(7200)
    jobs.claim("runner", 60)
    found = jobs.cancel(search.id)
    for later in (found.started, found.finished, store.events(search.id)[-1].created):
        assert 7000 < (later - found.created).total_seconds() < 10_000
        assert later.utcoffset().total_seconds() == 0


def test_log_is_monotonic(store: Store, jobs: Jobs) -> None:
    """Ids rise over all searches, times never fall, and every change of state is told once."""
    store.add_model(samples.model())
    ids = [store.submit(samples.problem(seed=seed)).id for seed in range(2)]
    for _ in ids:
        claim = jobs.claim("runner", 60)
        jobs.record(claim, samples.trial(0))
        jobs.succeed(claim, samples.result(claim.search.problem))
    events = [event for id in ids for event in store.events(id)]
    first, second = store.events(ids[0]), store.events(ids[1])
    assert {event.search_id for event in first} == {ids[0]}
    for log in (first, second, sorted(events, key=lambda event: event.id)):
        assert all(a.id < b.id and a.created <= b.created for a, b in pairwise(log))
    assert len({event.id for event in events}) == len(events)
    for id in ids:
        assert states(store, id) == ["queued", "running", "succeeded"]


def test_ids_are_never_used_again(store: Store, jobs: Jobs) -> None:
    """Deleting the newest events does not give their ids to later ones: a reader would miss those."""
    store.add_model(samples.model())
    last = store.events(store.submit(samples.problem()).id)[-1].id
    jobs.cancel(store.searches().items[0].id)
    store.delete_model(samples.model().id)
    store.add_model(samples.model())
    assert store.events(store.submit(samples.problem()).id)[0].id > last + 1


@pytest.mark.parametrize("verb", ["record", "phase", "release", "fail", "succeed", "pause", "cancel", "claim", "reap"])
def test_no_change_without_its_event(
    store: Store, jobs: Jobs, claim: Claim, verb: str, monkeypatch: pytest.MonkeyPatch, shift_clock: Callable
) -> None:
    """Where the event cannot be written, the change does not happen either."""
    id = claim.search.id
    verbs = report(jobs, claim) | {
        "pause": lambda: jobs.pause(id),
        "cancel": lambda: jobs.cancel(id),
        "reap": jobs.reap,
    }
    verbs["claim"] = lambda: jobs.claim("runner-2", 60)
    if verb == "claim":
        jobs.release(claim)
    if verb == "reap":
        shift_clock(61)
    before = (store.search(id), store.trials(id), store.events(id))

    def refuse(*_: object) -> None:
        raise FewstepError("no room for the event")

    with monkeypatch.context() as patch:
        patch.setattr("storage.jobs.write_event", refuse)
        with pytest.raises(FewstepError, match="no room"):
            verbs[verb]()
    assert (store.search(id), store.trials(id), store.events(id)) == before
    assert store.front(samples.model().id) == []
