"""Searches over HTTP: submit, list, steer, trials."""

from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from fewstep import Schedule
from fewstep.values.codec import decode
from fewstep.values.cost_card import cost_card, smallest
from fewstep.values.estimate import Estimate
from fewstep.values.model import Facts, Model
from fewstep.values.problem import Problem
from storage.jobs import Jobs
from storage.store import Store
from tests.api.support import check, claim, publish
from tests.storage.samples import submitted, trial


def test_a_search_is_accepted_and_can_be_looked_up(client: TestClient, model: Model) -> None:
    """POST answers 202 with the queued search and its Location; what was left out has its default."""
    answer = client.post("/v1/searches", json={"model": model.id, "nfe": 8})
    search = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/searches/{search['id']}"
    assert {"model": model.id, "nfe": 8, "metric": "mean", "effort": "standard", "seed": 0}.items() <= search.items()
    assert (search["budget"], search["noises"], search["precision"], search["limits"]["calls"]) == (
        24,
        32,
        None,
        15_000,
    )
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


def test_several_numbers_of_calls_are_one_submission(client: TestClient, model: Model) -> None:
    """One search for each, fewest calls first, each once, in a list, under one key; a list of one is a list."""
    body, headers = {"model": model.id, "nfe": [8, 5, 8], "effort": "quick"}, {"Idempotency-Key": "once"}
    answer = client.post("/v1/searches", json=body, headers=headers)
    assert answer.status_code == 202
    assert [(search["nfe"], search["effort"]) for search in answer.json()] == [(5, "quick"), (8, "quick")]
    assert client.post("/v1/searches", json=body, headers=headers).json() == answer.json()
    assert [search["nfe"] for search in client.get("/v1/searches").json()["items"]] == [8, 5]
    assert client.post("/v1/searches", json=body | {"nfe": [5]}, headers=headers).status_code == 409
    (alone,) = client.post("/v1/searches", json=body | {"nfe": [6]}).json()
    assert alone["nfe"] == 6


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("nfe", [8, [5, 8], [8, 5, 5]])
def test_a_dry_run_says_what_it_costs(client: TestClient, model: Model, nfe: int | list[int]) -> None:
    """The completed problem, calls of search and test, passes; seconds where the model was timed; nothing is stored."""
    answer = client.post("/v1/searches?dry_run=true", json={"model": model.id, "nfe": nfe, "effort": "quick"})
    assert answer.status_code == 200
    cards = answer.json() if isinstance(nfe, list) else [answer.json()]
    assert [card["nfe"] for card in cards] == ([5, 8] if isinstance(nfe, list) else [8])
    for card in cards:
        problem = Problem(model.id, card["nfe"], effort="quick")
        assert decode(Estimate, card) == Estimate(problem, cost_card(problem))
        assert (card["search_calls"], card["budget"], card["metric"]) == (3_000, 12, "mean")
        assert card["passes"] == card["search_calls"] + card["test_calls"]
        assert (card["seconds"], card["expected_ratio"]) == (None, None)


def test_a_dry_run_knows_the_model_and_earlier_results(client: TestClient, store: Store, model: Model) -> None:
    """Passes and seconds are those of the model's own calls, the ratio the median of earlier results."""
    facts = Facts(passes=2, seconds_per_call=0.01)
    other = store.add_model(replace(model, id="f" * 16, digest="f" * 64, name="guided", facts=facts))
    for seed, value in enumerate((0.1, 0.02, 0.04)):
        publish(store, Problem(model.id, 5, effort="quick", seed=seed), value=value)
    card = client.post("/v1/searches?dry_run=true", json={"model": other.id, "nfe": 5, "effort": "quick"}).json()
    calls = card["search_calls"] + card["test_calls"]
    assert (card["passes"], card["seconds"]) == (2 * calls, pytest.approx(0.01 * calls))
    assert card["expected_ratio"] == pytest.approx(0.2)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_a_limit_without_room_is_refused(client: TestClient, model: Model, query: str) -> None:
    """The answer names the lowest limit of calls that can be met, and this one is taken."""
    body = {"model": model.id, "nfe": 8, "effort": "quick"}
    least = smallest(Problem(model.id, 8, effort="quick"))
    for calls in (1, least - 1):
        refused = client.post(f"/v1/searches{query}", json=body | {"limits": {"calls": calls}})
        check(refused, 422, f"{least:,}", f"{calls:,}")
    several = body | {"nfe": [5, 8], "limits": {"calls": least - 1}}
    check(client.post(f"/v1/searches{query}", json=several), 422, f"{least:,}")
    taken = client.post("/v1/searches?dry_run=true", json=body | {"limits": {"calls": least}}).json()
    assert (taken["search_calls"], taken["smallest_limit"]) == (least, least)


@pytest.mark.usefixtures("untouched")
def test_a_dry_run_is_refused_like_a_submission(client: TestClient, store: Store, model: Model) -> None:
    """Unknown models and metrics, and values out of range."""
    for change, status in (
        ({"model": "0123456789abcdef"}, 404),
        ({"metric": "frechet:nonesuch"}, 422),
        ({"nfe": [8, 51]}, 422),
        ({"effort": "heroic"}, 422),
    ):
        check(client.post("/v1/searches?dry_run=true", json={"model": model.id, "nfe": 8} | change), status)


def test_a_dry_run_of_a_model_that_is_not_ready(client: TestClient, store: Store) -> None:
    """409, as when it is submitted."""
    waiting = store.add_model(submitted("b"))
    check(client.post("/v1/searches?dry_run=true", json={"model": waiting.id, "nfe": 8}), 409, "wait until it is ready")


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
