"""Leases run out by the database's clock, and a lost one is worth nothing."""

from collections.abc import Callable

import pytest
from sqlalchemy import update

from fewstep.errors import InvalidInput
from fewstep.values.search import Search, SearchState
from storage import Claim, Jobs, LeaseLost, Store
from storage.tables import SearchRow
from tests.storage import samples
from tests.storage.samples import report


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


def test_release(store: Store, jobs: Jobs, claim: Claim) -> None:
    """A released search waits again, in the same attempt, and keeps its start time."""
    jobs.release(claim)
    assert store.search(claim.search.id).state is SearchState.QUEUED
    again = jobs.claim("runner-2", 60)
    assert (again.search.attempt, again.search.started) == (1, claim.search.started)
    assert again.token != claim.token


def test_the_time_a_search_ran(jobs: Jobs, search: Search, shift_clock: Callable) -> None:
    """A claim says how long the search ran in earlier attempts; queues and pauses do not count, a lost lease does."""
    claim = jobs.claim("runner-1", 60)
    assert claim.elapsed == 0
    shift_clock(100)
    jobs.release(claim)
    shift_clock(1000)
    claim = jobs.claim("runner-2", 60)
    assert claim.elapsed == pytest.approx(100, abs=30)
    shift_clock(1010)
    jobs.pause(search.id)
    shift_clock(5000)
    jobs.resume(search.id)
    assert jobs.claim("runner-3", 60).elapsed == pytest.approx(110, abs=30)
    shift_clock(6000)
    jobs.reap()
    assert jobs.claim("runner-4", 60).elapsed == pytest.approx(1110, abs=30)


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
