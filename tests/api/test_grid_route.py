"""The grid that a search measured, over HTTP: for any number of calls, with an ETag."""

import pytest
from fastapi.testclient import TestClient

from fewstep.grids.measured import MeasuredGrid
from fewstep.values.model import Model
from fewstep.values.problem import Problem
from storage.jobs import Jobs
from storage.store import Store
from tests.api.support import check, claim
from tests.storage.samples import arc


@pytest.fixture
def path(store: Store, model: Model) -> str:
    """The grid's path, of a model that a search has measured."""
    Jobs(store).record_curve(claim(store, store.submit(Problem(model.id, 4))), arc())
    return f"/v1/models/{model.id}/grid"


def test_it_is_the_document_of_the_command(client: TestClient, model: Model, path: str) -> None:
    """Format, model, calls, blend, times and the whole curve; another number of calls costs nothing."""
    for nfe, blend in ((8, 0.25), (3, 1.0), (50, 0.0)):
        answer = client.get(path, params={"nfe": nfe, "blend": blend})
        assert answer.status_code == 200
        assert answer.json() == MeasuredGrid.of(arc(), model.id, nfe, blend).to_dict()
    assert client.get(f"{path}?nfe=8").json()["blend"] == 0.7


def test_what_the_caller_has_is_not_sent_again(client: TestClient, path: str) -> None:
    """The ETag belongs to the calls and the blend; with it the answer is 304."""
    first = client.get(f"{path}?nfe=8")
    tag = first.headers["ETag"]
    same = client.get(f"{path}?nfe=8", headers={"If-None-Match": tag})
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
    for other in ("nfe=9", "nfe=8&blend=0.6"):
        answer = client.get(f"{path}?{other}", headers={"If-None-Match": tag})
        assert answer.status_code == 200
        assert answer.headers["ETag"] != tag


def test_before_any_search_there_is_none(client: TestClient, model: Model) -> None:
    """404, which says what there is to do; 404 too for a model that nobody knows."""
    check(client.get(f"/v1/models/{model.id}/grid?nfe=8"), 404, "has measured its curve yet", "submit one")
    check(client.get("/v1/models/0123456789abcdef/grid?nfe=8"), 404, "there is no model")


@pytest.mark.parametrize(
    ("query", "given"),
    [("nfe=0", "'0'"), ("nfe=51", "'51'"), ("nfe=8&blend=1.5", "'1.5'"), ("nfe=8&blend=nan", "nan"), ("", "nfe")],
)
def test_a_bad_question_is_refused(client: TestClient, path: str, query: str, given: str) -> None:
    """Calls and blends out of range, and no calls at all, are answered with 422, which quotes them."""
    check(client.get(f"{path}?{query}"), 422, given)


def test_the_answer_is_described(client: TestClient) -> None:
    """OpenAPI has its shape, the parameters with their ranges, and the other answers."""
    document = client.get("/openapi.json").json()
    told = document["paths"]["/v1/models/{id}/grid"]["get"]
    assert {"200", "304", "404", "422"} <= told["responses"].keys()
    shape = told["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
    assert set(document["components"]["schemas"][shape]["required"]) == MeasuredGrid.of(arc(), "m", 2).to_dict().keys()
    blend = next(item["schema"] for item in told["parameters"] if item["name"] == "blend")
    assert (blend["minimum"], blend["maximum"], blend["default"]) == (0, 1, 0.7)
