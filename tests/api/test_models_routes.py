"""Models over HTTP."""

import pytest
from fastapi.testclient import TestClient

from fewstep.models import zoo
from fewstep.values.model import Model
from fewstep.values.problem import Problem
from storage.jobs import Jobs
from storage.store import Store
from tests.api.support import PROBLEM_JSON, publish

ZOO = {"source": "zoo", "name": "digits-mixture"}


def test_a_zoo_model_is_added_once(client: TestClient) -> None:
    """The first POST answers 201 and the second 200 with the same model, whose id is the start of its digest."""
    first, second = client.post("/v1/models", json=ZOO), client.post("/v1/models", json=ZOO)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert first.json()["digest"] == zoo.describe("digits-mixture").digest
    assert first.json()["id"] == first.json()["digest"][:16]
    assert first.json()["shape"] == [1, 8, 8]
    assert client.get(first.headers["Location"]).json() == first.json()
    assert client.get("/v1/models").json() == [first.json()]


def test_an_unknown_zoo_name_is_refused_with_the_known_ones(client: TestClient) -> None:
    """A wrong name is answered with 422 that names it and lists the zoo."""
    answer = client.post("/v1/models", json={"source": "zoo", "name": "nonesuch"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM_JSON)
    assert "'nonesuch'" in answer.json()["detail"]
    assert "digits-mixture" in answer.json()["detail"]


@pytest.mark.parametrize("source", ["pickle", "url", "upload", None, 7, ["zoo"], {"zoo": 1}])
def test_an_unknown_source_is_refused_with_the_known_ones(client: TestClient, source: object) -> None:
    """What is none of the sources that JSON may name is told them all."""
    answer = client.post("/v1/models", json={"source": source, "name": "someone/model"})
    assert answer.status_code == 422
    for known in ("'zoo'", "'folder'", "'hub'"):
        assert known in answer.json()["detail"]


def test_a_source_takes_its_own_fields_only(client: TestClient) -> None:
    """Fields of another source, or of none, are refused by name."""
    for body, field in (
        ({"source": "hub", "name": "someone/model"}, "repo"),
        ({"source": "zoo", "name": "digits-mixture", "commit": "0" * 40}, "commit"),
        ({"source": "folder", "name": "x", "loader_module": "os"}, "loader_module"),
    ):
        answer = client.post("/v1/models", json=body)
        assert answer.status_code == 422
        assert field in answer.json()["detail"]


def test_a_model_is_deleted_with_what_was_found_for_it(client: TestClient, store: Store, model: Model) -> None:
    """DELETE answers 204; afterwards the model and its schedules are gone."""
    publish(store, Problem(model.id, 6))
    assert client.delete(f"/v1/models/{model.id}").status_code == 204
    for path in ("", "/schedules", "/schedules/best?nfe=6"):
        assert client.get(f"/v1/models/{model.id}{path}").status_code == 404
    assert client.delete(f"/v1/models/{model.id}").status_code == 404


def test_a_model_with_a_live_search_is_kept(client: TestClient, store: Store, model: Model) -> None:
    """DELETE answers 409 while a search is live, and works once it is cancelled."""
    search = store.submit(Problem(model.id, 6))
    answer = client.delete(f"/v1/models/{model.id}")
    assert (answer.status_code, answer.headers["content-type"]) == (409, PROBLEM_JSON)
    assert search.id in answer.json()["detail"]
    Jobs(store).cancel(search.id)
    assert client.delete(f"/v1/models/{model.id}").status_code == 204
