"""The job state machine against a model of it that fits on a page: any order of verbs, any clock."""

from collections.abc import Callable
from dataclasses import dataclass

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete

from fewstep.errors import Conflict
from storage import Claim, Jobs, LeaseLost, Store
from storage.tables import ModelRow
from tests.storage import samples

ATTEMPTS = 2


@dataclass
class Expected:
    """What a search should look like."""

    priority: int
    state: str = "queued"
    attempt: int = 1
    token: str | None = None
    until: float = 0.0
    trials: int = 0
    changes: int = 1


class Machine(RuleBasedStateMachine):
    """Every verb, with whatever claims were ever given out."""

    store: Store
    shift_clock: Callable[[float], None]
    ids, claims = Bundle("ids"), Bundle("claims")

    @initialize()
    def begin(self) -> None:
        with self.store.write() as session:
            session.execute(delete(ModelRow))
        self.store.add_model(samples.model())
        self.jobs, self.now = Jobs(self.store), 0.0
        self.shift_clock(0.0)
        self.searches: dict[str, Expected] = {}

    @rule(target=ids, priority=st.integers(0, 1))
    def submit(self, priority: int) -> str:
        id = self.store.submit(samples.problem(), priority=priority).id
        self.searches[id] = Expected(priority)
        return id

    @rule(target=claims, lease=st.sampled_from([1000.0, 10_000.0]))
    def claim(self, lease: float) -> Claim | None:
        claim = self.jobs.claim("runner", lease)
        queued = [(-it.priority, place) for place, it in enumerate(self.searches.values()) if it.state == "queued"]
        if not queued:
            assert claim is None
            return None
        assert claim.search.id == list(self.searches)[min(queued)[1]]
        it = self.searches[claim.search.id]
        assert claim.token not in {other.token for other in self.searches.values()}
        it.token, it.until = claim.token, self.now + lease
        self._move(it, "running", keep=True)
        return claim

    def _move(self, it: Expected, state: str, keep: bool = False) -> None:
        it.state, it.changes = state, it.changes + 1
        if not keep:
            it.token = None

    def _report(self, claim: Claim | None, verb: Callable[[], None]) -> Expected | None:
        """Do a claim's verb; the search it held, or None where it must be refused and was."""
        if claim is None:
            return None
        it = self.searches[claim.search.id]
        if it.token == claim.token:
            verb()
            return it
        with pytest.raises(LeaseLost):
            verb()
        return None

    @rule(claim=claims, lease=st.sampled_from([1000.0, 10_000.0]))
    def heartbeat(self, claim: Claim | None, lease: float) -> None:
        if it := self._report(claim, lambda: self.jobs.heartbeat(claim, lease)):
            it.until = self.now + lease

    @rule(claim=claims, again=st.booleans())
    def record(self, claim: Claim | None, again: bool) -> None:
        number = 0 if claim is None else self.searches[claim.search.id].trials - again
        if number >= 0 and (it := self._report(claim, lambda: self.jobs.record(claim, samples.trial(number)))):
            it.trials += not again

    @rule(claim=claims, verb=st.sampled_from(["release", "fail", "succeed"]))
    def finish(self, claim: Claim | None, verb: str) -> None:
        rest = {"release": (), "fail": ("no",), "succeed": (samples.result(samples.problem()),)}[verb]
        if it := self._report(claim, lambda: getattr(self.jobs, verb)(claim, *rest)):
            self._move(it, {"release": "queued", "fail": "failed", "succeed": "succeeded"}[verb])

    @rule(id=ids, verb=st.sampled_from(["pause", "resume", "cancel"]))
    def order(self, id: str, verb: str) -> None:
        sources, to, settled = {
            "pause": (("queued", "running"), "paused", ("paused",)),
            "resume": (("paused",), "queued", ("queued", "running")),
            "cancel": (("queued", "running", "paused"), "cancelled", ("cancelled",)),
        }[verb]
        it = self.searches[id]
        if it.state not in sources + settled:
            with pytest.raises(Conflict):
                getattr(self.jobs, verb)(id)
            return
        if it.state in sources:
            self._move(it, to)
        assert getattr(self.jobs, verb)(id).state == it.state

    @rule(seconds=st.sampled_from([0.0, 600.0, 5000.0]))
    def reap(self, seconds: float) -> None:
        self.now += seconds
        self.shift_clock(self.now)
        lapsed = [id for id, it in self.searches.items() if it.state == "running" and it.until < self.now]
        assert [search.id for search in self.jobs.reap(ATTEMPTS)] == lapsed
        for it in (self.searches[id] for id in lapsed):
            self._move(it, "queued" if it.attempt < ATTEMPTS else "failed")
            it.attempt += it.state == "queued"

    @invariant()
    def agrees(self) -> None:
        found = {search.id: search for search in self.store.searches(500).items}
        assert set(found) == set(self.searches)
        for id, it in self.searches.items():
            search, events = found[id], self.store.events(id)
            assert (search.state, search.attempt, search.evaluations) == (it.state, it.attempt, it.trials)
            assert (search.finished is not None) == (it.state in ("succeeded", "failed", "cancelled"))
            told = [event.data["state"] for event in events if event.kind == "state"]
            assert (len(told), told[-1]) == (it.changes, it.state)
            assert len([event for event in events if event.kind == "trial"]) == it.trials


def test_state_machine(store: Store, shift_clock: Callable[[float], None]) -> None:
    """Whatever the order of verbs, the store agrees with the model, and stale claims are always refused."""

    class Bound(Machine):
        pass

    Bound.store, Bound.shift_clock = store, staticmethod(shift_clock)
    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
