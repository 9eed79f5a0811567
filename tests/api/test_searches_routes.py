"""Searches over HTTP: submit, list, steer, trials."""

import pytest
from fastapi.testclient import TestClient

from fewstep import Schedule
from fewstep.values.model import Model
from fewstep.values.problem import Problem
from storage.jobs import Jobs
from storage.store import Store
from tests.api.support import claim, publish
from tests.storage.samples import trial


def test_a_search_is_accepted_and_can_be_looked_up(client: TestClient, model: Model) -> None:
    """POST answers 202 with the queued search and its Location; what was left out has its default."""
    answer = client.post("/v1/searches", json={"model": model.id, "nfe": 8})
    search = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/searches/{search['id']}"
    assert {"model": model.id, "nfe": 8, "metric": "endpoint", "budget": 400, "seed": 0}.items() <= search.items()
    assert (search["state"], search["priority"], search["evaluations"], search["best"]) == ("queued", 0, 0, None)
    assert client.get(answer.headers["Location"]).json() == search


def test_the_same_key_and_body_give_the_same_search(client: TestClient, model: Model) -> None:
    """A repeated POST with an Idempotency-Key queues one search only."""
    body, headers = {"model": model.id, "nfe": 8}, {"Idempotency-Key": "once"}
    answers = [client.post("/v1/searches", json=body, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(client.get("/v1/searches").json()["items"]) == 1


def test_the_same_key_with_another_body_conflicts(client: TestClient, model: Model) -> None:
    """A key that is taken by another problem is answered with 409, and nothing is queued."""
    headers = {"Idempotency-Key": "once"}
    first = client.post("/v1/searches", json={"model": model.id, "nfe": 8}, headers=headers)
    second = client.post("/v1/searches", json={"model": model.id, "nfe": 9}, headers=headers)
    assert (first.status_code, second.status_code) == (202, 409)
    assert "'once'" in second.json()["detail"]
    assert len(client.get("/v1/searches").json()["items"]) == 1


def test_without_a_key_every_post_is_a_new_search(client: TestClient, model: Model) -> None:
    """Two equal bodies without a key are two searches."""
    ids = {client.post("/v1/searches", json={"model": model.id, "nfe": 8}).json()["id"] for _ in range(2)}
    assert len(ids) == 2


def test_pages_cover_every_search_once_newest_first(client: TestClient, store: Store, model: Model) -> None:
    """Following `next` from page to page meets each search once, the newest first."""
    submitted = [store.submit(Problem(model.id, nfe)).id for nfe in range(1, 8)]
    seen, cursor = [], None
    while True:
        page = client.get("/v1/searches", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        assert len(page["items"]) <= 3
        seen += [search["id"] for search in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == submitted[::-1]


def test_searches_are_filtered_by_state_and_model(client: TestClient, store: Store, model: Model) -> None:
    """Filters keep the searches they name; an unknown state is refused with the known ones."""
    done, queued = publish(store, Problem(model.id, 4)), store.submit(Problem(model.id, 5))
    for state, wanted in (("succeeded", [done.id]), ("queued", [queued.id]), ("failed", [])):
        items = client.get("/v1/searches", params={"state": state, "model": model.id}).json()["items"]
        assert [search["id"] for search in items] == wanted
    assert client.get("/v1/searches", params={"model": "0" * 16}).json()["items"] == []
    refused = client.get("/v1/searches", params={"state": "bored"})
    assert refused.status_code == 422
    assert "'queued'" in refused.json()["detail"]


@pytest.mark.parametrize("cursor", ["nonsense", "-1", "9999999999", "9" * 40, "%00"])
def test_a_made_up_cursor_is_refused(client: TestClient, cursor: str) -> None:
    """A cursor that the service never gave is answered with 422."""
    assert client.get(f"/v1/searches?cursor={cursor}").status_code == 422


def test_a_search_is_paused_resumed_and_cancelled(client: TestClient, store: Store, model: Model) -> None:
    """Each verb answers with the search in its new state."""
    path = f"/v1/searches/{store.submit(Problem(model.id, 5)).id}"
    for verb, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        answer = client.post(f"{path}/{verb}")
        assert (answer.status_code, answer.json()["state"]) == (200, state)
    assert client.get(path).json()["finished"] is not None


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_a_finished_search_cannot_be_steered(client: TestClient, store: Store, model: Model, verb: str) -> None:
    """Verbs on a search that succeeded answer 409 and say its state; the search stays as it was."""
    path = f"/v1/searches/{publish(store, Problem(model.id, 5)).id}"
    before = client.get(path).json()
    answer = client.post(f"{path}/{verb}")
    assert answer.status_code == 409
    assert "succeeded" in answer.json()["detail"]
    assert client.get(path).json() == before


def test_a_search_shows_its_progress(client: TestClient, store: Store, model: Model) -> None:
    """Evaluations and the best score so far follow the trials recorded."""
    search = store.submit(Problem(model.id, 5))
    held = claim(store, search)
    for number, value in enumerate((0.3, None, 0.2, 0.4)):
        Jobs(store).record(held, trial(number, value))
    shown = client.get(f"/v1/searches/{search.id}").json()
    assert (shown["state"], shown["evaluations"], shown["best"]["value"]) == ("running", 4, 0.2)


def test_trials_come_by_number_with_schedules_that_load(client: TestClient, store: Store, model: Model) -> None:
    """Each trial carries its whole schedule; the failed one has a reason and no score; pages join up."""
    search = publish(store, Problem(model.id, 5))
    path = f"/v1/searches/{search.id}/trials"
    first = client.get(path, params={"limit": 2}).json()
    second = client.get(path, params={"limit": 2, "after": first["next"]}).json()
    trials = first["items"] + second["items"]
    assert (first["next"], second["next"]) == (1, None)
    assert [item["number"] for item in trials] == [0, 1, 2]
    assert [item["score"] and item["score"]["value"] for item in trials] == [0.3, None, 0.2]
    assert trials[1]["reason"] == "out of memory"
    for item, stored in zip(trials, store.trials(search.id), strict=True):
        assert Schedule.from_dict(item["schedule"]) == stored.schedule
        assert item["digest"] == stored.schedule.digest


@pytest.mark.parametrize("query", ["after=-2", "after=2147483648", "limit=0", "limit=501", "after=x"])
def test_a_page_of_trials_out_of_range_is_refused(client: TestClient, store: Store, model: Model, query: str) -> None:
    """Numbers that no column holds and pages of no size are answered with 422."""
    search = store.submit(Problem(model.id, 5))
    assert client.get(f"/v1/searches/{search.id}/trials?{query}").status_code == 422


def test_an_unknown_search_is_not_found_by_any_route(client: TestClient) -> None:
    """Every route of a search answers 404 with the id that was asked for, the event stream included."""
    for method, path in (
        ("GET", ""),
        ("GET", "/trials"),
        ("GET", "/events"),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/cancel"),
    ):
        answer = client.request(method, f"/v1/searches/nonesuch{path}")
        assert answer.status_code == 404
        assert "nonesuch" in answer.json()["detail"]
