"""The HTTP client against a real service."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from fewstep.client import Client, Model
from fewstep.client import client as client_module
from fewstep.errors import Conflict, InvalidInput, NotFound
from fewstep.models import zoo
from fewstep.values.codec import decode
from fewstep.values.cost_card import cost_card
from fewstep.values.estimate import Estimate
from fewstep.values.limits import Limits
from fewstep.values.problem import Problem
from storage.jobs import Jobs
from tests.api.support import Service, claim, publish
from tests.storage.samples import arc, result


def test_a_search_is_submitted_awaited_and_its_schedule_fetched(client: Client, service: Service) -> None:
    """The way of a user: add a model, submit, wait, take the best schedule, which is the one published."""
    model = client.add_model("digits-mixture")
    search = client.submit("digits-mixture", nfe=6, budget=3, seed=5)
    assert search.problem == Problem(model.id, 6, budget=3, seed=5)
    assert (search.state, search.done, search.best) == ("queued", False, None)

    found = result(search.problem)
    held = claim(service.store, service.store.search(search.id))
    worker = threading.Thread(target=lambda: Jobs(service.store).succeed(held, found))
    worker.start()
    ended = client.wait(search.id)
    worker.join()

    assert (ended.state, ended.done, ended.error) == ("succeeded", True, None)
    best = client.best("digits-mixture", nfe=8)
    assert best.result == found
    assert best.schedule == found.schedule
    assert (best.digest, best.model, best.search) == (found.schedule.digest, model.id, search.id)
    assert client.schedules("digits-mixture") == [best]
    assert client.schedule(best.digest) == found.schedule


def test_a_search_is_asked_for_with_all_its_kinds(client: Client, service: Service) -> None:
    """Metric, report, sampler and limits reach the store; the result comes back whole, its second scores too."""
    model = client.add_model("digits-mixture")
    limits = Limits(calls=10**6, seconds=60, failures=2)
    kinds = {"metric": "frechet:digits", "report": "kid:digits", "sampler": "evolution", "limits": limits}
    search = client.submit(model.id, 4, budget=20, **kinds)
    assert search.problem == Problem(model.id, 4, budget=20, **kinds)
    with pytest.raises(NotFound, match=search.id):
        client.result(search.id)
    found = replace(result(search.problem), ended="calls")
    found = replace(found, cost=replace(found.cost, passes_per_call=2))
    Jobs(service.store).succeed(claim(service.store, service.store.search(search.id)), found)
    assert client.result(search.id).result == found
    assert client.best(model.id, 4, "frechet:digits").result == found
    publish(service.store, Problem(model.id, 4))
    assert [item.result.problem.metric for item in client.schedules(model.id)] == [found.problem.metric, "mean"]
    assert client.schedules(model.id, "frechet:digits") == [client.result(search.id)]


def test_several_numbers_of_calls_are_submitted_at_once(client: Client, service: Service, model: Model) -> None:
    """One search each, fewest calls first, under one key; sizes are those of each number of calls."""
    searches = client.submit(model.id, [20, 5], key="once", effort="quick", seed=3)
    assert [search.problem for search in searches] == [
        Problem(model.id, nfe, effort="quick", seed=3) for nfe in (5, 20)
    ]
    assert client.submit(model.id, (5, 20), key="once", effort="quick", seed=3) == searches
    with pytest.raises(Conflict, match=searches[0].id):
        client.submit(model.id, 5, key="once", effort="quick")
    assert len(client.submit(model.id, [5])) == 1
    with pytest.raises(InvalidInput, match="got 51"):
        client.submit(model.id, [5, 51])


def test_what_a_search_costs_is_asked_first(client: Client, service: Service, model: Model) -> None:
    """Nothing is queued; a limit that cannot be met is refused with the least that can."""
    problems = [Problem(model.id, nfe, effort="thorough") for nfe in (5, 8)]
    costs = [Estimate(problem, cost_card(problem)) for problem in problems]
    assert client.estimate(model.id, 5, effort="thorough") == costs[0]
    assert client.estimate(model.id, [8, 5], effort="thorough") == costs
    publish(service.store, problems[1])
    assert client.estimate(model.id, 8, effort="thorough").expected_ratio == 0.25
    for verb in (client.submit, client.estimate):
        with pytest.raises(InvalidInput, match="100 are allowed"):
            verb(model.id, 8, limits=Limits(calls=100))
    assert len(client.searches()) == 1


def test_metrics_are_listed_and_wrong_ones_refused(client: Client, model: Model) -> None:
    """The names that the service knows, and its word on one that it does not."""
    known = client.metrics()
    assert (known.metrics[0], known.features, known.references) == (
        "mean",
        ("pixels", "digits", "lite0"),
        ("teacher", "digits"),
    )
    with pytest.raises(InvalidInput, match=r"unknown features 'coco'; known: pixels, digits"):
        client.submit(model.id, 4, metric="kid:coco")


def test_models_are_values_with_identity(client: Client, model: Model) -> None:
    """A model is added once, listed, and described as the zoo has it."""
    assert client.add_model("digits-mixture") == model
    assert client.models() == [model]
    assert (model.digest, model.shape) == (zoo.describe("digits-mixture").digest, (1, 8, 8))
    assert model.created.tzinfo is not None


def test_models_are_named_by_name_or_id(client: Client, service: Service, model: Model) -> None:
    """Both ways lead to the same model; an unknown name is told the known ones, an unknown id is not found."""
    publish(service.store, Problem(model.id, 4))
    assert client.best(model.id, 4) == client.best("digits-mixture", 4)
    with pytest.raises(NotFound, match=r"'nonesuch'.*digits-mixture.*add_model"):
        client.submit("nonesuch", 4)
    with pytest.raises(NotFound, match="0123456789abcdef"):
        client.submit("0123456789abcdef", 4)


def test_a_name_means_the_model_added_last(client: Client, service: Service, model: Model) -> None:
    """Where two models share a name, as after new weights, the name stands for the newer one."""
    old = service.store.model(model.id)
    digest = "f" * 64
    newer = replace(old, id=digest[:16], digest=digest, created=old.created + timedelta(days=1))
    service.store.add_model(newer)
    assert client.submit("digits-mixture", 4).problem.model == newer.id
    assert client.submit(model.id, 4).problem.model == model.id


def test_a_key_makes_submitting_repeatable(client: Client, model: Model) -> None:
    """The same key gives the same search; with another problem it conflicts; a key must fit a header."""
    first = client.submit(model.id, 8, key="mine")
    assert client.submit(model.id, 8, key="mine") == first
    assert client.submit(model.id, 8).id != first.id
    with pytest.raises(Conflict, match="'mine'"):
        client.submit(model.id, 9, key="mine")
    for key in ("schlüssel", "two\nlines"):
        with pytest.raises(InvalidInput, match="ASCII"):
            client.submit(model.id, 8, key=key)


def test_errors_are_those_of_the_tree_with_the_services_words(client: Client, service: Service, model: Model) -> None:
    """404, 409 and 422 become NotFound, Conflict and InvalidInput, and say what the service said."""
    done = publish(service.store, Problem(model.id, 4))
    with pytest.raises(NotFound, match="'nonesuch'"):
        client.search("nonesuch")
    with pytest.raises(NotFound, match="at most 3 calls"):
        client.best(model.id, 3)
    with pytest.raises(Conflict, match="succeeded"):
        client.cancel(done.id)
    with pytest.raises(InvalidInput, match=r"'nonesuch'.*known: .*digits-mixture"):
        client.add_model("nonesuch")
    with pytest.raises(InvalidInput, match=r"path\.digest"):
        client.schedule("not a digest")
    with pytest.raises(InvalidInput, match="nfe is a whole number"):
        client.submit(model.id, 10_000)
    with pytest.raises(NotFound):
        client.search("../models")
    with pytest.raises(NotFound):
        next(client.watch("nonesuch"))


def test_searches_are_listed_newest_first_over_pages(
    client: Client, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages are joined up to the limit; filters keep what they name."""
    monkeypatch.setattr(client_module, "PAGE", 2)
    ids = [client.submit(model.id, nfe).id for nfe in range(1, 8)][::-1]
    client.cancel(ids[3])
    assert [search.id for search in client.searches()] == ids
    assert [search.id for search in client.searches(limit=5)] == ids[:5]
    assert [search.id for search in client.searches(state="cancelled", model="digits-mixture")] == [ids[3]]


def test_a_search_is_steered(client: Client, model: Model) -> None:
    """Each verb gives the search in its new state."""
    search = client.submit(model.id, 8)
    assert [verb(search.id).state for verb in (client.pause, client.resume, client.cancel)] == [
        "paused",
        "queued",
        "cancelled",
    ]
    assert client.wait(search.id).state == "cancelled"


def test_fields_of_a_newer_service_are_passed_over(model: Model) -> None:
    """A client of this version reads answers that say more than it knows."""
    plain = {
        **vars(model),
        "created": model.created.isoformat(),
        "shape": list(model.shape),
        "owner": "somebody",
    }
    assert decode(Model, plain) == model


def test_a_measured_grid_is_fetched_for_any_number_of_calls(client: Client, service: Service, model: Model) -> None:
    """The curve that a search recorded makes it, by the model's name or id; before that there is none."""
    with pytest.raises(NotFound, match="has measured its curve yet"):
        client.grid("digits-mixture", nfe=8)
    held = claim(service.store, service.store.submit(Problem(model.id, 4)))
    Jobs(service.store).record_curve(held, arc())
    for nfe, blend in ((8, 0.7), (3, 1.0)):
        grid = client.grid("digits-mixture", nfe, blend)
        assert grid.times == arc().times(nfe, blend)
        assert grid.curve.to_dict() == arc().to_dict()
        assert grid.to_dict() == client.grid(model.id, nfe, blend).to_dict()
    with pytest.raises(InvalidInput, match="blend"):
        client.grid("digits-mixture", 8, blend=2.0)
