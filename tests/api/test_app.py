"""The application as a whole: its document, its health, its log."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from api.log import configure
from api.settings import Settings
from storage.store import Store
from tests.api.support import PROBLEM_JSON, add_model

PATHS = {
    "/healthz": {"get"},
    "/readyz": {"get"},
    "/v1/metrics": {"get"},
    "/v1/models": {"get", "post"},
    "/v1/models/upload": {"post"},
    "/v1/models/{id}": {"get", "delete"},
    "/v1/models/{id}/grid": {"get"},
    "/v1/models/{id}/schedules": {"get"},
    "/v1/models/{id}/schedules/best": {"get"},
    "/v1/results": {"post"},
    "/v1/schedules/{digest}": {"get"},
    "/v1/searches": {"get", "post"},
    "/v1/searches/{id}": {"get"},
    "/v1/searches/{id}/cancel": {"post"},
    "/v1/searches/{id}/events": {"get"},
    "/v1/searches/{id}/pause": {"post"},
    "/v1/searches/{id}/result": {"get"},
    "/v1/searches/{id}/resume": {"post"},
    "/v1/searches/{id}/trials": {"get"},
}


def nodes(value: Any) -> list[dict]:
    """Every object inside a JSON value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value for value in [value] if isinstance(value, dict)] + [node for item in inner for node in nodes(item)]


def test_the_document_describes_every_route(client: TestClient) -> None:
    """OpenAPI 3.1 lists exactly the API's paths, each operation under its own id."""
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    described = {path: set(item) for path, item in document["paths"].items() if path in PATHS or path.startswith("/v1")}
    assert described == PATHS
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))


def test_every_reference_of_the_document_resolves(client: TestClient) -> None:
    """No $ref points at nothing, and every path parameter is declared."""
    document = client.get("/openapi.json").json()
    for node in nodes(document):
        if "$ref" in node:
            assert node["$ref"].removeprefix("#/components/schemas/") in document["components"]["schemas"]
    for path, item in document["paths"].items():
        for operation in item.values():
            declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert declared == set(re.findall(r"{(\w+)}", path))


def test_media_types_use_the_words_of_openapi_3_1(client: TestClient) -> None:
    """Contents are described by a schema and nothing that 3.1 does not know."""
    for item in client.get("/openapi.json").json()["paths"].values():
        for operation in item.values():
            for response in operation["responses"].values():
                for content in response.get("content", {}).values():
                    assert set(content) <= {"schema", "example", "examples", "encoding"}


def test_every_error_is_documented_as_a_problem(client: TestClient) -> None:
    """All 4xx and 5xx answers of all operations have the one error shape; those with input document 422."""
    document = client.get("/openapi.json").json()
    for path, item in document["paths"].items():
        for operation in item.values():
            errors = {status: r for status, r in operation["responses"].items() if status[0] in "45"}
            assert {"400", "500", "503"} <= set(errors)
            assert ("422" in errors) == ("parameters" in operation or "requestBody" in operation)
            assert ("404" in errors) or "{" not in path
            for response in errors.values():
                reference = {"$ref": "#/components/schemas/ProblemDetails"}
                assert response["content"] == {PROBLEM_JSON: {"schema": reference}}
                assert response["description"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_a_real_problem_has_the_documented_shape(client: TestClient) -> None:
    """The members of an answer are those of the schema, and the required ones are there."""
    schema = client.get("/openapi.json").json()["components"]["schemas"]["ProblemDetails"]
    answer = client.post("/v1/models", json={"source": "zoo"}).json()
    assert set(schema["required"]) <= set(answer) <= set(schema["properties"])
    assert set(answer["errors"][0]) <= {"where", "detail", "given"}


def test_ready_means_the_database_answers_with_its_tables(client: TestClient, store: Store) -> None:
    """/readyz turns to 503 where the tables are not those of this version; /healthz does not care."""
    assert client.get("/readyz").json() == client.get("/healthz").json() == {"status": "ok"}
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM fewstep_version")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.headers["content-type"]) == (503, PROBLEM_JSON)
    assert client.get("/healthz").status_code == 200


def test_what_was_stored_is_there_after_a_restart(settings: Settings) -> None:
    """A second application on the same settings serves what the first one took."""
    with TestClient(create_app(settings)) as first:
        id = first.post("/v1/models", json={"source": "zoo", "name": "digits-mixture"}).json()["id"]
        search = first.post("/v1/searches", json={"model": id, "nfe": 8}).json()
    with TestClient(create_app(settings)) as second:
        assert second.get(f"/v1/searches/{search['id']}").json() == search


def test_the_data_folder_is_made(tmp_path: Path) -> None:
    """A folder that is not there yet is no obstacle."""
    with TestClient(create_app(Settings(data_dir=tmp_path / "new" / "folder"))) as client:
        assert client.get("/readyz").status_code == 200
    assert (tmp_path / "new" / "folder" / "fewstep.db").is_file()


def test_every_request_is_logged_with_its_id(client: TestClient) -> None:
    """The log's entry has method, path, status and the id that the caller was given."""
    with structlog.testing.capture_logs() as entries:
        answer = client.get("/v1/searches/nonesuch")
    (entry,) = entries
    assert (entry["method"], entry["path"], entry["status"]) == ("GET", "/v1/searches/nonesuch", 404)
    assert entry["request"] == answer.headers["X-Request-ID"]


def test_a_fault_of_ours_is_logged_with_its_cause(app: FastAPI, client: TestClient) -> None:
    """The exception that the caller does not see is in the log, under the same id."""

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("the inside")

    with structlog.testing.capture_logs() as entries:
        answer = client.get("/broken")
    fault = next(entry for entry in entries if entry["log_level"] == "error")
    assert fault["exc_info"]
    assert fault["request"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_the_log_goes_to_standard_error_without_local_variables(
    settings: Settings, capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    """A logged exception shows its traceback but no variable's value, which might be a secret."""
    app = create_app(settings)

    @app.get("/broken")
    def broken() -> None:
        password = "".join(("hun", "ter2"))
        raise RuntimeError(f"the inside, {len(password)} long")

    configure(settings.model_copy(update={"log_format": log_format}))
    try:
        with TestClient(app) as client:
            client.get("/broken")
    finally:
        structlog.reset_defaults()
    out, log = capsys.readouterr()
    assert out == ""
    assert "RuntimeError: the inside, 7 long" in log
    assert "in broken" in log
    assert "hunter2" not in log
    if log_format == "json":
        assert [json.loads(line)["event"] for line in log.splitlines()] == ["request failed", "request"]


def test_two_applications_do_not_share_state(tmp_path: Path) -> None:
    """Two applications in one process each have their own database."""
    apps = [create_app(Settings(data_dir=tmp_path / name)) for name in ("one", "two")]
    with TestClient(apps[0]) as one, TestClient(apps[1]) as two:
        add_model(apps[0].state.store)
        assert len(one.get("/v1/models").json()) == 1
        assert two.get("/v1/models").json() == []
