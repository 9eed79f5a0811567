"""The log of events tells every change, once and in order."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from fewstep.errors import FewstepError
from storage import Claim, Jobs, Store
from storage.events import write_event
from tests.storage import samples
from tests.storage.samples import report, states
from tests.trials import trial_of


def test_phase(store: Store, jobs: Jobs, claim: Claim) -> None:
    """A phase is told in the log."""
    jobs.phase(claim, "teacher", 3, 10)
    assert store.events(claim.search.id)[-1].data == {"phase": "teacher", "done": 3, "total": 10}


def test_a_trial_names_its_stage(store: Store, jobs: Jobs, claim: Claim) -> None:
    """As it is recorded; to an event from before there were stages, its origin gives one."""
    jobs.record(claim, trial_of(0, samples.schedule(), None, "mirror: reversed", reason="no memory"))
    with store.write() as session:
        data = {"number": 1, "origin": "fit closed-loop", "value": None}
        write_event(session, claim.search.id, "trial", data, datetime.now(UTC))
    assert [event.data["stage"] for event in store.events(claim.search.id)[-2:]] == ["mirror", "time-search"]


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
    assert {event.search for event in first} == {ids[0]}
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
