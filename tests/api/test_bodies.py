"""Bodies of any size and any content: what is too large or no problem at all is refused, and nothing falls over."""

import json

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings, strategies

from fewstep.values.model import Model
from fewstep.values.problem import MAX_NFE
from tests.api.support import JSON, PROBLEM_JSON, check


@pytest.mark.usefixtures("untouched")
def test_too_large_a_body_is_refused_by_its_length(client: TestClient, model: Model) -> None:
    """A megabyte is the most; the answer says both numbers, on routes that want no body too."""
    body = json.dumps({"model": model.id, "nfe": 8, "note": "x" * 2**20})
    for path in ("/v1/searches", "/v1/models", "/v1/searches/nonesuch/cancel"):
        check(client.post(path, content=body, headers=JSON), 413, "1048576", str(len(body)))


@pytest.mark.usefixtures("untouched")
def test_too_large_a_body_is_refused_as_it_streams(client: TestClient) -> None:
    """A body that declares no length is counted as it comes."""
    pieces = (b" " * 2**17 for _ in range(64))
    check(client.post("/v1/searches", content=pieces, headers=JSON), 413, "1048576")


def test_one_byte_below_the_limit_is_taken(client: TestClient, model: Model) -> None:
    """White space up to exactly the limit does not hurt."""
    body = json.dumps({"model": model.id, "nfe": 8})
    assert client.post("/v1/searches", content=body.ljust(2**20), headers=JSON).status_code == 202
    check(client.post("/v1/searches", content=body.ljust(2**20 + 1), headers=JSON), 413)


texts = strategies.text(strategies.characters(), max_size=5)  # half surrogate pairs too
values = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | texts
    | strategies.sampled_from(["", "digits-mixture", "zoo", "endpoint", "\x00", "../../etc/passwd"]),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
names = strategies.sampled_from(["model", "nfe", "metric", "budget", "seed", "priority", "source", "name"])
bodies = strategies.dictionaries(names | texts, values, max_size=6).map(json.dumps)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=strategies.sampled_from(["/v1/models", "/v1/searches"]), body=bodies | strategies.binary(max_size=40))
def test_no_body_brings_the_service_down(client: TestClient, model: Model, path: str, body: str | bytes) -> None:
    """Whatever is posted, the answer is a 2xx or a 4xx problem, never a 5xx."""
    if isinstance(body, str):
        body = body.replace('"digits-mixture"', f'"{model.id}"', 1) if path == "/v1/searches" else body
    answer = client.post(path, content=body, headers=JSON)
    assert answer.is_success or 400 <= answer.status_code < 500, answer.text
    if answer.is_error:
        assert answer.headers["content-type"] == PROBLEM_JSON
        assert answer.json()["detail"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=strategies.fixed_dictionaries(
        {"nfe": strategies.integers(-1, MAX_NFE + 2) | values},
        optional={name: strategies.integers() | values for name in ("budget", "seed", "priority", "metric")}
        | dict.fromkeys(("report", "sampler", "limits"), values),
    )
)
def test_a_body_is_queued_as_it_was_or_refused(client: TestClient, model: Model, fields: dict) -> None:
    """What is accepted has exactly the values that were sent; the rest gets a 4xx."""
    answer = client.post("/v1/searches", content=json.dumps(fields | {"model": model.id}), headers=JSON)
    assert answer.status_code in (202, 422)
    if answer.is_success:
        assert fields.items() <= answer.json().items()
