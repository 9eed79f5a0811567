"""Submitted models: tried by one runner at a time, ready or refused once, and never lost with a runner."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from fewstep.errors import Conflict, InvalidInput, InvalidModel
from fewstep.values.model import Facts, Model, ModelState
from storage import LeaseLost, ModelChecks, ModelClaim, Store
from tests.storage import children, samples
from tests.storage.parent import CHILDREN, child, hear, kill

FACTS = Facts("UNet2DModel", "noise", parameters=12_345, passes=1, seconds_per_call=1 / 3)


@pytest.fixture
def checks(store: Store) -> ModelChecks:
    """The verbs of the state machine of models on `store`."""
    return ModelChecks(store)


@pytest.fixture
def model(store: Store) -> Model:
    """A submitted model."""
    return store.add_model(samples.submitted())


@pytest.fixture
def held(checks: ModelChecks, model: Model) -> ModelClaim:
    """A lease on it."""
    claim = checks.claim("runner-1", 60)
    assert claim is not None
    return claim


def verbs(checks: ModelChecks, claim: ModelClaim) -> dict[str, Callable[[], object]]:
    """Every verb of a claim, ready to call."""
    return {
        "heartbeat": lambda: checks.heartbeat(claim, 60),
        "describe": lambda: checks.describe(claim, claim.model),
        "ready": lambda: checks.ready(claim, FACTS),
        "refuse": lambda: checks.refuse(claim, "no"),
        "release": lambda: checks.release(claim),
    }


def test_a_model_becomes_ready(store: Store, checks: ModelChecks, model: Model, held: ModelClaim) -> None:
    """The claim holds the model; what the runner found stays with it, to the last bit; then nothing is left to do."""
    assert held.model == model
    assert model.state is ModelState.SUBMITTED
    checks.ready(held, FACTS)
    assert store.model(model.id) == replace(model, state=ModelState.READY, facts=FACTS)
    assert checks.claim("runner-2", 60) is None
    assert store.add_model(model) == store.model(model.id)


def test_a_refused_model_is_tried_again_when_it_is_sent_again(
    store: Store, checks: ModelChecks, model: Model, held: ModelClaim
) -> None:
    """The reason stays until then; afterwards it is a submitted model of the same id, from where it came last."""
    checks.refuse(held, "NaN\0 from call 1")
    refused = store.model(model.id)
    assert (refused.state, refused.reason) == (ModelState.REFUSED, "NaN? from call 1")
    again = store.add_model(replace(model, source="folder", name="there"))
    assert again == replace(model, source="folder", name="there")
    claim = checks.claim("runner-2", 60)
    assert claim is not None
    assert claim.token != held.token


def test_a_model_that_turns_out_to_be_the_zoos(
    store: Store, checks: ModelChecks, model: Model, held: ModelClaim
) -> None:
    """The zoo's needs no trial: it is ready at once under its own name, and whoever tried it is told."""
    own = replace(model, source="zoo", name="digits", state=ModelState.READY)
    assert store.add_model(own) == own
    with pytest.raises(LeaseLost):
        checks.refuse(held, "no")
    assert store.add_model(model) == own


def test_only_a_ready_model_can_be_searched(store: Store, checks: ModelChecks, model: Model, held: ModelClaim) -> None:
    """The refusal names the state, and the reason where there is one."""
    with pytest.raises(Conflict, match="is submitted: wait until it is ready"):
        store.submit(samples.problem())
    checks.refuse(held, "it diverges")
    with pytest.raises(Conflict, match="is refused: it diverges"):
        store.submit(samples.problem())
    assert store.searches().items == []
    store.add_model(model)
    again = checks.claim("runner-1", 60)
    assert again is not None
    checks.ready(again, FACTS)
    assert store.submit(samples.problem()).problem == samples.problem()


def test_models_wait_in_order_of_arrival(store: Store, checks: ModelChecks) -> None:
    """The oldest first; ready ones and those that somebody holds are passed over."""
    first = samples.submitted("a")
    for letter, second in (("c", 3), ("b", 2), ("a", 1)):
        store.add_model(replace(samples.submitted(letter), created=first.created.replace(second=second)))
    store.add_model(samples.model("d"))
    claims = [checks.claim("runner", 60) for _ in range(4)]
    assert [claim and claim.model.id[0] for claim in claims] == ["a", "b", "c", None]
    assert claims[1] is not None
    checks.release(claims[1])
    again = checks.claim("runner", 60)
    assert again is not None
    assert again.model.id[0] == "b"


@pytest.mark.parametrize("verb", ["heartbeat", "describe", "ready", "refuse", "release"])
@pytest.mark.parametrize("lost", ["released", "lapsed", "deleted", "settled"])
def test_a_lost_lease_changes_nothing(
    store: Store, checks: ModelChecks, held: ModelClaim, verb: str, lost: str, shift_clock: Callable[[float], None]
) -> None:
    """Whoever lost the model is told so by every verb, and another runner's claim is left alone."""
    if lost == "released":
        checks.release(held)
    elif lost == "lapsed":
        shift_clock(100.0)
        assert [model.id for model in checks.reap()] == [held.model.id]
    elif lost == "deleted":
        store.delete_model(held.model.id)
    else:
        checks.ready(held, FACTS)
    other = checks.claim("runner-2", 1000)
    before = store.models()
    with pytest.raises(LeaseLost, match="stop working on it"):
        verbs(checks, held)[verb]()
    assert store.models() == before
    if other is not None:
        checks.heartbeat(other, 1000)


def test_a_silent_runner_loses_the_model(
    store: Store, checks: ModelChecks, held: ModelClaim, shift_clock: Callable[[float], None]
) -> None:
    """A lease that is kept up holds; one that ran out gives the model to the next, and refuses it after the last."""
    shift_clock(50.0)
    checks.heartbeat(held, 60)
    shift_clock(100.0)
    assert checks.reap() == []
    for attempt in (1, 2, 3):
        shift_clock(1000.0 * attempt)
        (lapsed,) = checks.reap(3)
        assert lapsed.state == (ModelState.SUBMITTED if attempt < 3 else ModelState.REFUSED)
        checks.claim(f"runner-{attempt + 1}", 60)
    assert store.model(held.model.id).reason == "runner runner-3 stopped answering in attempt 3 of 3"


def test_leases_have_a_length(checks: ModelChecks, held: ModelClaim) -> None:
    """A lease that is no time at all, or for ever, is refused."""
    for seconds in (0.0, -1.0, float("nan"), float("inf"), 1e9):
        with pytest.raises(InvalidInput, match="lease"):
            checks.heartbeat(held, seconds)


def test_a_model_from_a_hub_is_known_once_it_is_fetched(store: Store, checks: ModelChecks) -> None:
    """Its id stays; shape, process and the digest of its files come with them. The address gives the same model again,
    and so do the files."""
    address = store.add_model(samples.on_hub("a"))
    assert (address.shape, address.unfetched) == ((), True)
    claim = checks.claim("runner", 60)
    assert claim is not None
    found = replace(samples.submitted("b"), id=address.id, name=address.name, source="hub")
    claim = checks.describe(claim, found)
    assert claim.model == found
    checks.ready(claim, FACTS)
    ready = replace(found, state=ModelState.READY, facts=FACTS)
    assert store.model(address.id) == ready
    assert store.add_model(samples.on_hub("a")) == ready
    assert store.add_model(samples.submitted("b")) == ready
    assert store.models() == [ready]


def test_a_model_from_a_hub_may_be_there_already(store: Store, checks: ModelChecks) -> None:
    """Files that were submitted before are not kept twice: the refusal names the model that they are."""
    known = store.add_model(samples.model("b"))
    store.add_model(samples.on_hub("a"))
    claim = checks.claim("runner", 60)
    assert claim is not None
    with pytest.raises(Conflict, match=f"the very model {known.id}"):
        checks.describe(claim, replace(samples.submitted("b"), id="a" * 16, source="hub"))
    checks.heartbeat(claim, 60)


def test_only_a_model_that_is_still_on_a_hub_has_no_shape() -> None:
    """Ready models, and those whose files are here, have a shape; only a hub's id may differ from its digest."""
    with pytest.raises(InvalidModel, match="shape"):
        replace(samples.on_hub(), state=ModelState.READY)
    with pytest.raises(InvalidModel, match="shape"):
        replace(samples.on_hub(), source="upload")
    with pytest.raises(InvalidModel, match="first 16 digits"):
        replace(samples.submitted("a"), digest="b" * 64)


def test_processes_never_share_a_model(store: Store) -> None:
    """Three processes that claim at once share the submitted models among them: every model once."""
    letters = "0123456789abcdef"
    ids = {store.add_model(samples.submitted(letter)).id for letter in letters}
    start = CHILDREN.Barrier(3)
    with (
        child(children.claim_all_models, store.url, start) as (_, one),
        child(children.claim_all_models, store.url, start) as (_, two),
        child(children.claim_all_models, store.url, start) as (_, three),
    ):
        claimed = Counter(id for said in (one, two, three) for id in hear(said))
    assert set(claimed) == ids
    assert set(claimed.values()) == {1}


@pytest.mark.parametrize("verb", ["claim", "ready", "refuse", "release"])
def test_killed_before_the_commit(store: Store, checks: ModelChecks, model: Model, verb: str) -> None:
    """A runner that is killed just before its change was committed has changed nothing, and blocks nobody."""
    held = None if verb == "claim" else checks.claim("runner", 60)
    before = store.model(model.id)
    arguments = {"claim": ("child", 60), "ready": (held, FACTS), "refuse": (held, "no"), "release": (held,)}[verb]
    with child(children.hang_before_commit, store.url, ModelChecks, verb, arguments) as (process, said):
        hear(said)
        kill(process)
    assert store.model(model.id) == before
    if held is None:
        assert checks.claim("runner", 60) is not None
    else:
        checks.heartbeat(held, 60)
