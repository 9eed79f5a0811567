"""Bad input gets a clear 4xx as problem+json; the service stays up and the database as it was."""

import json
from collections.abc import Iterator

import pytest
import structlog
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings, strategies

from fewstep.problem import MAX_NFE
from storage.store import Store
from storage.values import Model
from tests.api.support import PROBLEM_JSON

JSON = {"Content-Type": "application/json"}


def check(answer, status: int, *words: str) -> None:
    """The answer is a problem of that status whose detail holds the words."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM_JSON), answer.text
    content = answer.json()
    assert content["status"] == status
    assert content["title"]
    for word in words:
        assert word in content["detail"]


@pytest.fixture
def untouched(client: TestClient, store: Store, model: Model) -> Iterator[None]:
    """Nothing was queued, and the service still works when the test is over."""
    yield
    assert store.searches().items == []
    assert client.get("/readyz").json() == {"status": "ok"}
    assert client.post("/v1/searches", json={"model": model.id, "nfe": 8}).status_code == 202


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nfe": 0}, ("body.nfe", "greater than or equal to 1", "got 0")),
        ({"nfe": 10_000}, ("body.nfe", f"less than or equal to {MAX_NFE}", "got 10000")),
        ({"nfe": "8"}, ("body.nfe", "valid integer", "got '8'")),
        ({"nfe": 8.5}, ("body.nfe", "valid integer", "got 8.5")),
        ({"nfe": True}, ("body.nfe", "valid integer", "got True")),
        ({"nfe": None}, ("body.nfe", "valid integer", "got None")),
        ({"nfe": [8]}, ("body.nfe", "valid integer", "got [8]")),
        ({"budget": 0}, ("body.budget", "got 0")),
        ({"seed": -1}, ("body.seed", "got -1")),
        ({"seed": 2**31}, ("body.seed", "got 2147483648")),
        ({"priority": 10**9}, ("body.priority", "got 1000000000")),
        ({"metric": "taste"}, ("body.metric", "'taste'", "endpoint")),
        ({"model": 7}, ("body.model", "valid string", "got 7")),
        ({"model": ""}, ("body.model", "got ''")),
        ({"model": "a\x00b"}, ("body.model", "got 'a\\x00b'")),
        ({"nfes": 8}, ("body.nfes", "not permitted")),
    ],
)
def test_a_bad_value_is_named_with_what_was_given_and_wanted(client, model, change, words) -> None:
    """Wrong types, wrong ranges and unknown fields are answered with 422 that quotes them."""
    answer = client.post("/v1/searches", json={"model": model.id, "nfe": 8} | change)
    check(answer, 422, *words)
    assert answer.json()["errors"][0]["where"] == words[0]


@pytest.mark.usefixtures("untouched")
def test_an_unknown_model_is_not_found(client: TestClient) -> None:
    """A search of a model that was never added is answered with 404 that quotes the id."""
    check(client.post("/v1/searches", json={"model": "0123456789abcdef", "nfe": 8}), 404, "'0123456789abcdef'")


@pytest.mark.usefixtures("untouched")
def test_missing_fields_are_all_named(client: TestClient) -> None:
    """An empty object is told every field that it lacks."""
    check(client.post("/v1/searches", json={}), 422, "body.model: Field required", "body.nfe: Field required")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("body", ["", "null", "[]", "8", '"text"'])
def test_a_body_of_another_kind_is_refused(client: TestClient, body: str) -> None:
    """JSON that is no object, or no body at all, is answered with 422."""
    check(client.post("/v1/searches", content=body, headers=JSON), 422, "body")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "body",
    [
        '{"model": "a", "nfe": 8',
        "{'model': 'a'}",
        "nfe=8",
        b"\xff\xfe\x00",
        b'{"model": "\xff"}',
        '{"nfe": ' + "9" * 5000 + "}",
        "[" * 100_000,
    ],
    ids=["cut short", "quotes", "form", "binary", "not utf-8", "endless digits", "deep nesting"],
)
def test_what_is_not_json_is_refused(client: TestClient, body: str | bytes) -> None:
    """A body that no JSON parser takes is answered with 400 that says so."""
    check(client.post("/v1/searches", content=body, headers=JSON), 400, "JSON")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("name", ["nfe", "budget", "seed", "priority", "other"])
def test_numbers_that_are_none_are_refused(client: TestClient, model: Model, name: str, number: str) -> None:
    """NaN and infinities are answered with 422 that names the field, wherever they stand."""
    fields = {"model": json.dumps(model.id), "nfe": "8"} | {name: number}
    body = ",".join(f'"{key}": {value}' for key, value in fields.items())
    check(client.post("/v1/searches", content=f"{{{body}}}", headers=JSON), 422, f"body.{name}")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_json_must_be_declared_as_json(client: TestClient, model: Model, kind: str | None) -> None:
    """Without the JSON content type, which pages of other sites cannot send, the answer is 415."""
    body = json.dumps({"model": model.id, "nfe": 8})
    headers = {} if kind is None else {"Content-Type": kind}
    check(client.post("/v1/searches", content=body, headers=headers), 415, "application/json")


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


def test_thousands_of_faults_get_a_short_answer(client: TestClient) -> None:
    """A body full of unknown fields is not answered in kind."""
    answer = client.post("/v1/searches", json={f"field{n}": "x" * 50 for n in range(10_000)})
    check(answer, 422, "more")
    assert len(answer.content) < 5000


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/nonesuch"), ("POST", "/"), ("GET", "/v1/models/"), ("GET", "/docs")]
)
def test_unknown_paths_are_problems_too(client: TestClient, method: str, path: str) -> None:
    """A path that is not there is answered with 404 that quotes it."""
    check(client.request(method, path), 404, path)


def test_a_wrong_method_is_told_the_right_ones(client: TestClient) -> None:
    """405 names every method that is possible, in words and in Allow."""
    answer = client.put("/v1/models", json={})
    check(answer, 405, "PUT", "possible: GET, POST")
    assert answer.headers["Allow"] == "GET, POST"
    assert client.post("/v1/models/nonesuch").headers["Allow"] == "GET, DELETE"


@pytest.mark.parametrize("id", ["a%00b", "..%2f..", "x" * 101, "%ff", "a b", "'; drop table"])
def test_ids_that_cannot_be_are_refused(client: TestClient, id: str) -> None:
    """Ids with other characters than ours never reach the database."""
    assert client.get(f"/v1/searches/{id}").status_code in (404, 422)
    assert client.get(f"/v1/models/{id}/schedules").status_code in (404, 422)
    assert client.get(f"/v1/schedules/{id}").status_code in (404, 422)


@pytest.mark.parametrize("key", ["", "a b", "x" * 300])
def test_a_bad_idempotency_key_is_refused(client: TestClient, store: Store, model: Model, key: str) -> None:
    """A key that is empty, too long or holds blanks is answered with 422."""
    answer = client.post("/v1/searches", json={"model": model.id, "nfe": 8}, headers={"Idempotency-Key": key})
    check(answer, 422, "Idempotency-Key")
    assert store.searches().items == []


def test_a_database_that_fails_is_503(client: TestClient, store: Store) -> None:
    """Where the database does not answer, the caller is told to come back, and the process still says it is up."""
    store.close()
    with store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE models RENAME TO lost")
    check(client.get("/v1/models"), 503, "database")
    assert client.get("/v1/models").headers["Retry-After"]
    assert client.get("/healthz").status_code == 200


def test_a_fault_of_ours_is_500_without_its_inside(app: FastAPI, client: TestClient) -> None:
    """An unexpected exception is answered with the request's id and nothing of the exception."""

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("the secret inside")

    with structlog.testing.capture_logs():
        answer = client.get("/broken")
    check(answer, 500, answer.headers["X-Request-ID"])
    assert "secret" not in answer.text
    assert "Content-Security-Policy" in answer.headers


values = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(strategies.characters())  # lone surrogates too
    | strategies.sampled_from(["", "digits-mixture", "zoo", "endpoint", "\x00", "../../etc/passwd"]),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(), inner, max_size=3),
    max_leaves=5,
)
names = strategies.sampled_from(["model", "nfe", "metric", "budget", "seed", "priority", "source", "name"])
bodies = strategies.dictionaries(names | strategies.text(max_size=5), values, max_size=6).map(json.dumps)


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
        optional={name: strategies.integers() | values for name in ("budget", "seed", "priority", "metric")},
    )
)
def test_a_body_is_queued_as_it_was_or_refused(client: TestClient, model: Model, fields: dict) -> None:
    """What is accepted has exactly the values that were sent; the rest gets a 4xx."""
    answer = client.post("/v1/searches", content=json.dumps(fields | {"model": model.id}), headers=JSON)
    assert answer.status_code in (202, 422)
    if answer.is_success:
        assert fields.items() <= answer.json().items()
