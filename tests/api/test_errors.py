"""Bad input gets a clear 4xx as problem+json; the service stays up and the database as it was."""

import json

import pytest
import structlog
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fewstep.values.model import Model
from fewstep.values.problem import MAX_NFE
from storage.store import Store
from tests.api.support import JSON, check


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
        ({"nfe": [5, "8"]}, ("body.nfe", "valid integer", "got '8'")),
        ({"nfe": [5, [8]]}, ("body.nfe", "valid integer", "got [8]")),
        ({"nfe": [5, 51]}, ("body.nfe", f"less than or equal to {MAX_NFE}", "got 51")),
        ({"nfe": []}, ("body.nfe", "a list has 1 to 50", "got []")),
        ({"nfe": [8] * 51}, ("body.nfe", "a list has 1 to 50", "got 51")),
        ({"budget": -1}, ("body.budget", "got -1")),
        ({"effort": "heroic"}, ("body.effort", "'heroic'", "quick, standard, thorough")),
        ({"precision": 0}, ("body.precision", "greater than 0", "got 0")),
        ({"precision": 1.5}, ("body.precision", "less than or equal to 1", "got 1.5")),
        ({"seed": -1}, ("body.seed", "got -1")),
        ({"seed": 2**31}, ("body.seed", "got 2147483648")),
        ({"priority": 10**9}, ("body.priority", "got 1000000000")),
        ({"metric": "taste"}, ("body.metric", "'taste'", "mean, typical, trimmed")),
        ({"metric": "endpoint:digits"}, ("body.metric", "write 'rms' alone")),
        ({"metric": "frechet:../../etc/passwd"}, ("body.metric", "named by letters")),
        ({"metric": "frechet:a:b:c"}, ("body.metric", "metric[:features[:reference]]")),
        ({"metric": "frechet:" + "x" * 500}, ("body.metric", "at most 200")),
        ({"metric": None}, ("body.metric", "valid string")),
        ({"report": "taste"}, ("body.report", "'taste'")),
        ({"report": ["kid"]}, ("body.report", "valid string")),
        ({"sampler": "luck"}, ("body.sampler", "'luck'", "guided, evolution")),
        ({"sampler": 3}, ("body.sampler", "valid string")),
        ({"limits": 3}, ("body.limits", "got 3")),
        ({"limits": None}, ("body.limits", "got None")),
        ({"limits": {"calls": 0}}, ("body.limits.calls", "greater than or equal to 1", "got 0")),
        ({"limits": {"calls": 1.5}}, ("body.limits.calls", "valid integer", "got 1.5")),
        ({"limits": {"calls": True}}, ("body.limits.calls", "valid integer", "got True")),
        ({"limits": {"calls": 10**13}}, ("body.limits.calls", "less than or equal to")),
        ({"limits": {"seconds": 0}}, ("body.limits.seconds", "greater than 0", "got 0")),
        ({"limits": {"seconds": True}}, ("body.limits.seconds", "valid number", "got True")),
        ({"limits": {"seconds": "60"}}, ("body.limits.seconds", "valid number", "got '60'")),
        ({"limits": {"failures": -1}}, ("body.limits.failures", "got -1")),
        ({"limits": {"improvement": 1.01}}, ("body.limits.improvement", "less than or equal to 1", "got 1.01")),
        ({"limits": {"improvment": 0.1}}, ("body.limits.improvment", "not permitted")),
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
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metric": "frechet:nonesuch"}, ("unknown features 'nonesuch'", "known: pixels, digits")),
        ({"metric": "kid:digits:nonesuch"}, ("unknown reference 'nonesuch'", "known: teacher, digits")),
        ({"report": "cmmd:nonesuch"}, ("unknown features 'nonesuch'",)),
        ({"report": "mean"}, ("report another metric beside it",)),
        ({"metric": "frechet", "report": "frechet:pixels"}, ("report another metric beside it",)),
        ({"noises": 5}, ("noises is a whole number from 8",)),
        ({"sampler": "random", "limits": {"improvement": 0.1}}, ("only 'guided' makes", "'random'")),
    ],
)
def test_values_that_do_not_go_together_are_refused(client, model, change, words) -> None:
    """Names that are not known here, and fields that contradict each other, are answered with 422."""
    check(client.post("/v1/searches", json={"model": model.id, "nfe": 8} | change), 422, *words)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("name", ["calls", "seconds", "failures", "improvement"])
def test_limits_are_numbers(client: TestClient, model: Model, name: str, text: str) -> None:
    """NaN and infinities among the limits are answered with 422 that names the limit."""
    body = f'{{"model": "{model.id}", "nfe": 8, "limits": {{"{name}": {text}}}}}'
    check(client.post("/v1/searches", content=body, headers=JSON), 422, f"body.limits.{name}")


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


def test_thousands_of_faults_get_a_short_answer(client: TestClient) -> None:
    """A body full of unknown fields is not answered in kind."""
    answer = client.post("/v1/searches", json={f"field{n}": "x" * 50 for n in range(10_000)})
    check(answer, 422, "more")
    assert len(answer.content) < 5000


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/nonesuch"), ("POST", "/v2/searches"), ("GET", "/v1/models/"), ("GET", "/docs")]
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


@pytest.mark.parametrize("id", ["a%00b", "x" * 101, "%ff", "a b", "'; drop table"])
def test_ids_that_cannot_be_are_refused(client: TestClient, id: str) -> None:
    """Ids with other characters than ours never reach the database."""
    for path in (
        f"searches/{id}",
        f"searches/{id}/events",
        f"models/{id}",
        f"models/{id}/schedules",
        f"schedules/{id}",
    ):
        check(client.get(f"/v1/{path}"), 422, "path.")


@pytest.mark.parametrize("value", ["[" * 500 + "]" * 500, json.dumps("x" * 500_000), "[" + "1," * 100_000 + "1]"])
def test_a_monstrous_value_is_quoted_briefly(client: TestClient, model: Model, value: str) -> None:
    """Deep, long and wide values are answered with 422 and not sent back whole."""
    answer = client.post("/v1/searches", content=f'{{"model": "{model.id}", "nfe": {value}}}', headers=JSON)
    check(answer, 422, "body.nfe")
    assert len(answer.content) < 1000


def test_text_that_is_no_text_is_quoted_too(client: TestClient) -> None:
    """Half a surrogate pair, which UTF-8 cannot carry, is refused in a readable answer wherever it stands."""
    for body in (r'{"\ud800": 1}', r'{"name": "\ud800"}', r'{"source": "\udfff", "name": "x"}'):
        check(client.post("/v1/models", content=body, headers=JSON), 422, "body", "\\ud")


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
