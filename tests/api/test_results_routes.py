"""Results from outside over HTTP: taken whole or refused with the reason, and served like the service's own."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings, strategies

from api.settings import Settings
from api.submission import ModelAway, reference
from fewstep import Schedule
from fewstep.values.codec import encode
from fewstep.values.model import Model
from fewstep.values.publication import Publication
from storage.store import Store
from tests.api.support import JSON, PROBLEM_JSON, check
from tests.api.test_dashboard_models import page
from tests.storage import samples

PATH = "/v1/results"


@pytest.fixture
def publication() -> Publication:
    return samples.publication(plan=samples.fitted())


@pytest.fixture
def body(publication: Publication) -> dict[str, Any]:
    return encode(publication)


@pytest.fixture
def nothing_kept(store: Store) -> Iterator[None]:
    """Neither a model nor a search is there when the test is over."""
    yield
    assert store.models() == []
    assert store.searches().items == []


def test_a_result_is_published_once(client: TestClient, body: dict[str, Any]) -> None:
    """201 with the result and where it is; the same again gives the same answer with 200."""
    first, second = client.post(PATH, json=body), client.post(PATH, json=body)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    for answer in (first, second):
        assert client.get(answer.headers["Location"]).json() == first.json()
    assert len(client.get("/v1/searches").json()["items"]) == 1


def test_it_is_served_like_any_other(client: TestClient, publication: Publication, body: dict[str, Any]) -> None:
    """The model is listed, ready, without weights; best, front, schedule and search know the result."""
    client.post(PATH, json=body)
    id, digest = publication.model.id, publication.result.schedule.digest
    (model,) = client.get("/v1/models").json()
    assert (model["id"], model["source"], model["state"], model["passes"]) == (id, "pipeline", "ready", 2)
    best = client.get(f"/v1/models/{id}/schedules/best?nfe=8").json()
    assert [best] == client.get(f"/v1/models/{id}/schedules").json()
    assert Schedule.from_dict(best["schedule"]) == publication.result.schedule
    assert Schedule.from_dict(client.get(f"/v1/schedules/{digest}").json()) == publication.result.schedule
    assert client.get(f"/v1/searches/{best['search']}").json()["state"] == "succeeded"
    events = client.get(f"/v1/searches/{best['search']}/events").text
    assert '"version":"0.1.0"' in events.replace(" ", "")


def test_entries_with_a_default_may_be_left_out(client: TestClient, body: dict[str, Any]) -> None:
    """As in any body."""
    for name in ("verdict", "warnings", "tau", "front", "out_of_span", "ended"):
        del body["result"][name]
    del body["model"]["conditions"]
    answer = client.post(PATH, json=body)
    assert answer.status_code == 201
    assert answer.json()["warnings"] == []


def test_a_search_of_it_is_refused(client: TestClient, publication: Publication, body: dict[str, Any]) -> None:
    """With 409 and what to do, dry or not; deleting and publishing again works."""
    client.post(PATH, json=body)
    for query in ("", "?dry_run=true"):
        answer = client.post(f"/v1/searches{query}", json={"model": publication.model.id, "nfe": 8})
        check(answer, 409, "its weights are where it was tuned", "run fewstep tune there")
    assert client.delete(f"/v1/models/{publication.model.id}").status_code == 204
    assert client.get("/v1/searches").json()["items"] == []
    assert client.post(PATH, json=body).status_code == 201


def test_a_runner_has_no_files_of_it(publication: Publication, tmp_path: Any) -> None:
    """Where one is asked for its weights all the same, they are away, as those of any model that it lacks."""
    with pytest.raises(ModelAway, match=publication.model.name):
        reference(publication.model, Settings(data_dir=tmp_path))


def test_another_model_of_that_digest(client: TestClient, model: Model, publication: Publication) -> None:
    """A result for a model that the service has with its weights is refused: 409."""
    content = publication.to_json().replace(publication.model.digest, model.digest)
    content = content.replace(publication.model.id, model.id)
    check(client.post(PATH, content=content, headers=JSON), 409, model.id, "'zoo'")


def put(*place: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    """A change of one entry of a body."""

    def change(body: Any) -> None:
        for key in place[:-1]:
            body = body[key]
        body[place[-1]] = value

    return change


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no model": (lambda body: body.pop("model"), "model is missing"),
    "no schedule": (lambda body: body["result"].pop("schedule"), "result.schedule is missing"),
    "more": (put("colour", value="red"), "it has no colour"),
    "more in the result": (put("result", "colour", value="red"), "result has no colour"),
    "text for a number": (put("result", "ratio", value="0.5"), "result.ratio is a number, got '0.5'"),
    "a huge number": (put("result", "ratio", value=10**400), "too large"),
    "a score": (put("result", "score", value={"value": "low"}), "result.score.value is a number"),
    "a source": (put("model", "source", value="zoo"), "model.source is 'pipeline'"),
    "a state": (put("model", "state", value="refused"), "model.state"),
    "an unknown state": (put("model", "state", value="tuned"), "model.state"),
    "a digest": (put("model", "digest", value="../etc/passwd"), "64 lower-case hexadecimal digits"),
    "an id": (put("model", "id", value="b" * 16), "the first 16 digits of its digest"),
    "a shape": (put("model", "shape", value=[1, 0]), "positive whole numbers"),
    "a name": (put("model", "name", value="<script>"), "a model's name is"),
    "the zoo's name": (put("model", "name", value="digits-mixture"), "the name of a model of the zoo"),
    "a process": (put("model", "process", value={"kind": "flow"}), "that is not the model's"),
    "another nfe": (put("result", "problem", "nfe", value=5), "has 4 calls"),
    "an nfe out of range": (put("result", "problem", "nfe", value=51), "nfe is a whole number from 1 to 50"),
    "a metric": (put("result", "problem", "metric", value="taste"), "unknown metric 'taste'"),
    "a step": (put("result", "schedule", "steps", 1, "order", value=9), "steps[1]"),
    "a time": (put("result", "schedule", "times", 1, value=2.0), "result.schedule: "),
    "a coefficient": (put("result", "schedule", "tableau", "outputs", 0, 0, value=9.0), "the schedule was edited"),
    "a baseline": (put("result", "baseline", "schedule", value={}), "result.baseline.schedule: "),
    "an escape": (put("result", "name", value="\x1b[2J"), "result.name is printable text"),
}


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_refused(client: TestClient, body: dict[str, Any], what: str) -> None:
    """422 that names the entry, and nothing is stored."""
    change, words = WRONG[what]
    change(body)
    check(client.post(PATH, json=body), 422, words)


@pytest.mark.usefixtures("nothing_kept")
def test_what_is_no_such_body(client: TestClient, body: dict[str, Any]) -> None:
    """NaN, no JSON, JSON of another kind, undeclared, and more than the limit."""
    not_finite = json.dumps(body).replace(f'"ratio": {body["result"]["ratio"]}', '"ratio": NaN')
    check(client.post(PATH, content=not_finite, headers=JSON), 422, "result.ratio is a finite number")
    check(client.post(PATH, content="{", headers=JSON), 400, "not JSON")
    check(client.post(PATH, json=[1]), 422, "body")
    check(client.post(PATH, content=json.dumps(body), headers={"Content-Type": "text/plain"}), 415, "text/plain")
    body["model"]["summary"] = "x" * 2**20
    check(client.post(PATH, json=body), 413, "1048576")
    check(client.post(PATH, json=body, headers={"Origin": "http://evil.example"}), 403, "evil.example")


values = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(max_size=4),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(max_size=4), inner),
    max_leaves=4,
)


def places(content: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where the entries of a JSON value are."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [place for key, part in inner for place in ((*at, key), *places(part, (*at, key)))]


WHOLE = encode(samples.publication())


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=strategies.sampled_from(places(WHOLE)), value=values)
def test_no_entry_brings_the_service_down(
    client: TestClient, store: Store, place: tuple[str | int, ...], value: Any
) -> None:
    """Whatever stands in the place of an entry, it is taken or refused; what is taken can be shown on every page."""
    body = copy.deepcopy(WHOLE)
    put(*place, value=value)(body)
    answer = client.post(PATH, content=json.dumps(body), headers=JSON)
    if answer.is_error:
        assert answer.status_code in (400, 422), answer.text
        assert answer.headers["content-type"] == PROBLEM_JSON
        return
    id = answer.json()["model"]
    for path in ("/", "/models", f"/models/{id}", f"/searches/{answer.json()['search']}"):
        assert client.get(path).status_code == 200
    assert client.get(f"/v1/models/{id}/schedules/best?nfe=50").is_success
    store.delete_model(id)


@pytest.mark.parametrize("value", [1e308, 5e-324, 0.0, -1.0])
def test_errors_of_any_size_can_be_shown(client: TestClient, body: dict[str, Any], value: float) -> None:
    """The front of the model is drawn whatever its errors are."""
    put("result", "score", "value", value=value)(body)
    answer = client.post(PATH, json=body)
    assert answer.status_code == 201
    assert client.get(f"/models/{answer.json()['model']}").status_code == 200


def test_pages_say_where_it_comes_from(client: TestClient, publication: Publication, body: dict[str, Any]) -> None:
    """Of the model and of the result: from outside, by which version, and that nothing was measured here."""
    published = client.post(PATH, json=body).json()
    of_model = page(client, f"/models/{publication.model.id}").words
    assert "Published from outside: its weights are where it was tuned" in of_model
    assert f"fewstep fetch {publication.model.id}" in of_model
    assert "fewstep submit" not in of_model
    of_result = page(client, f"/searches/{published['search']}").words
    assert "Published from outside" in of_result
    assert "by fewstep 0.1.0: the service did not measure it" in of_result
    assert "Its trials stayed where the model was tuned" in of_result
    assert "None has been measured yet" not in of_result
    assert publication.model.name in page(client, "/").words
    assert publication.result.schedule.digest[:16] in of_result
