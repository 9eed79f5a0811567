"""Published schedules over HTTP: front, best, digest, caching."""

from dataclasses import asdict, astuple

import pytest
from fastapi.testclient import TestClient

from fewstep import Schedule
from fewstep.values.model import Model
from fewstep.values.problem import Problem
from storage.jobs import Jobs
from storage.store import Store
from tests.api.support import check, publish
from tests.storage.samples import result, schedule


def test_the_best_schedule_has_at_most_the_calls_asked_for(client: TestClient, store: Store, model: Model) -> None:
    """Of few enough calls the most are served, unless fewer are better by more than chance; its own nfe says which it
    is."""
    for nfe, value in ((4, 0.08), (6, 0.03), (8, 0.05), (9, 0.13)):
        publish(store, Problem(model.id, nfe), value=value)
    for asked, nfe in ((4, 4), (5, 4), (6, 6), (8, 8), (50, 6)):
        answer = client.get(f"/v1/models/{model.id}/schedules/best", params={"nfe": asked})
        assert (answer.status_code, answer.json()["nfe"]) == (200, nfe)


def test_a_published_result_says_all_that_was_measured(client: TestClient, store: Store, model: Model) -> None:
    """The answer holds the schedule, both scores with their errors, the interval of the ratio and the cost."""
    problem = Problem(model.id, 6, budget=30, seed=7)
    search, found = publish(store, problem, value=0.03), result(problem, value=0.03)
    best = client.get(f"/v1/models/{model.id}/schedules/best?nfe=6").json()
    assert Schedule.from_dict(best["schedule"]) == found.schedule
    assert best["digest"] == best["schedule"]["digest"] == found.schedule.digest
    assert (best["model"], best["search"], best["metric"]) == (model.id, search.id, "mean")
    assert (best["nfe"], best["budget"], best["seed"]) == (6, 30, 7)
    assert best["score"] == asdict(found.score)
    assert best["baseline"]["name"] == found.baseline_name
    assert best["baseline"]["score"] == asdict(found.baseline.score)
    assert Schedule.from_dict(best["baseline"]["schedule"]) == found.baseline.schedule
    assert (best["ratio"], best["ratio_low"], best["ratio_high"]) == (found.ratio, *astuple(found.ratio_interval))
    for name in ("teacher_error", "tau"):
        assert best[name] == getattr(found, name)
    for name in ("calls", "evaluations", "seconds"):
        assert best[name] == getattr(found.cost, name)


def test_nothing_published_is_not_found(client: TestClient, store: Store, model: Model) -> None:
    """Without a schedule of so few calls the answer is 404, which says what there is to do."""
    publish(store, Problem(model.id, 6))
    answer = client.get(f"/v1/models/{model.id}/schedules/best?nfe=5")
    assert answer.status_code == 404
    assert "at most 5 calls" in answer.json()["detail"]
    assert client.get("/v1/models/0123456789abcdef/schedules/best?nfe=5").status_code == 404
    assert client.get(f"/v1/schedules/{'0' * 64}").status_code == 404


@pytest.mark.parametrize(
    ("query", "given"), [("nfe=0", "'0'"), ("nfe=51", "'51'"), ("nfe=few", "'few'"), ("nfe=8&metric=taste", "'taste'")]
)
def test_a_bad_question_is_refused(client: TestClient, model: Model, query: str, given: str) -> None:
    """Calls out of range and unknown metrics are answered with 422, which quotes them."""
    answer = client.get(f"/v1/models/{model.id}/schedules/best?{query}")
    assert answer.status_code == 422
    assert given in answer.json()["detail"]


def test_the_front_has_the_best_of_every_number_of_calls(client: TestClient, store: Store, model: Model) -> None:
    """One entry per number of calls, fewest first, each with the lowest score."""
    for nfe, value in ((8, 0.05), (4, 0.09), (4, 0.08), (6, 0.06)):
        publish(store, Problem(model.id, nfe, seed=int(1000 * value)), value=value)
    front = client.get(f"/v1/models/{model.id}/schedules").json()
    assert [(item["nfe"], item["score"]["value"]) for item in front] == [(4, 0.08), (6, 0.06), (8, 0.05)]
    assert client.get(f"/v1/models/{model.id}/schedules?metric=mean").json() == front


def test_the_rms_error_has_two_names(client: TestClient, store: Store, model: Model) -> None:
    """A client of the first version asks for the endpoint error, and gets what is called rms now."""
    search = client.post("/v1/searches", json={"model": model.id, "nfe": 6, "metric": "endpoint"}).json()
    assert (search["metric"], search["report"]) == ("rms", None)
    Jobs(store).cancel(search["id"])
    publish(store, Problem(model.id, 6, "rms"), value=0.03)
    for path in ("schedules", "schedules/best?nfe=6"):
        old, new = (
            client.get(f"/v1/models/{model.id}/{path}", params={"nfe": 6, "metric": name}).json()
            for name in ("endpoint", "rms")
        )
        assert old == new
        assert old
    missing = client.get(f"/v1/models/{model.id}/schedules/best?nfe=6")
    check(missing, 404, "by 'mean' yet: there are some by rms")


def test_a_schedule_is_served_by_its_digest_for_ever(client: TestClient, store: Store, model: Model) -> None:
    """The body is fewstep's own file format, the ETag is the digest, and caches may keep it."""
    publish(store, Problem(model.id, 6))
    digest = schedule(6).digest
    answer = client.get(f"/v1/schedules/{digest}")
    assert Schedule.from_json(answer.content) == schedule(6)
    assert answer.headers["ETag"] == f'"{digest}"'
    assert "immutable" in answer.headers["Cache-Control"]


def test_what_the_caller_has_is_not_sent_again(client: TestClient, store: Store, model: Model) -> None:
    """A matching If-None-Match is answered with 304 and no body; any other with the content."""
    publish(store, Problem(model.id, 6))
    digest = schedule(6).digest
    for path in (f"/v1/schedules/{digest}", f"/v1/models/{model.id}/schedules/best?nfe=6"):
        tag = client.get(path).headers["ETag"]
        for match in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            same = client.get(path, headers={"If-None-Match": match})
            assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
        assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_tag_of_the_best_changes_with_it(client: TestClient, store: Store, model: Model) -> None:
    """After a better result is published the old ETag no longer matches."""
    path = f"/v1/models/{model.id}/schedules/best?nfe=6"
    publish(store, Problem(model.id, 6), value=0.05)
    old = client.get(path).headers["ETag"]
    publish(store, Problem(model.id, 6, seed=1), value=0.04)
    fresh = client.get(path, headers={"If-None-Match": old})
    assert (fresh.status_code, fresh.json()["score"]["value"]) == (200, 0.04)
    assert fresh.headers["ETag"] != old
