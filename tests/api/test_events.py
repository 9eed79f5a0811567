"""The event stream of a search, on a real server: replay, resume, live tail, end."""

import json
from collections.abc import Iterator

import pytest

from api.settings import Settings
from fewstep.values.problem import Problem
from storage.jobs import Jobs
from tests.api.support import Service, add_model, claim, publish, serving
from tests.storage.samples import result, trial


@pytest.fixture
def service(settings: Settings) -> Iterator[Service]:
    with serving(settings) as service:
        add_model(service.store)
        yield service


def problem(service: Service) -> Problem:
    return Problem(service.store.models()[0].id, 5)


def stream(service: Service, id: str, last: int | None = None) -> Iterator[dict[str, str]]:
    """The stream's events as field dictionaries, until the service ends it."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with service.http.stream("GET", f"/v1/searches/{id}/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        event: dict[str, str] = {}
        for line in answer.iter_lines():
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                event[name] = value
            elif event:
                yield event
                event = {}


def test_a_finished_search_is_replayed_and_ends(service: Service) -> None:
    """Every stored event is sent once, in order, with its id, kind and data; then the stream ends."""
    search = publish(service.store, problem(service))
    stored = service.store.events(search.id)
    sent = list(stream(service, search.id))
    assert [(int(e["id"]), e["event"], json.loads(e["data"])) for e in sent] == [(e.id, e.kind, e.data) for e in stored]
    assert [e["event"] for e in sent] == ["state", "state", "phase", "trial", "trial", "trial", "published", "state"]
    assert json.loads(sent[-1]["data"]) == {"state": "succeeded"}


def test_a_stream_resumes_after_the_last_event_seen(service: Service) -> None:
    """For every Last-Event-ID exactly the later events are sent; after the last one there are none."""
    search = publish(service.store, problem(service))
    ids = [event.id for event in service.store.events(search.id)]
    for position, last in enumerate(ids):
        assert [int(event["id"]) for event in stream(service, search.id, last)] == ids[position + 1 :]


def test_news_are_sent_as_they_happen(service: Service) -> None:
    """Each step of a live search arrives before the next one is made, and its end closes the stream."""
    store, jobs = service.store, Jobs(service.store)
    search = store.submit(problem(service))
    events = stream(service, search.id)
    assert json.loads(next(events)["data"]) == {"state": "queued"}
    held = claim(store, search)
    assert json.loads(next(events)["data"]) == {"state": "running"}
    for number in range(3):
        jobs.record(held, trial(number))
        arrived = next(events)
        assert (arrived["event"], json.loads(arrived["data"])["number"]) == ("trial", number)
    jobs.succeed(held, result(search.problem))
    assert [event["event"] for event in events] == ["published", "state"]


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_a_stream_ends_with_the_search_however_it_ends(service: Service, end: str) -> None:
    """Cancellation and failure close the stream too, after the event that tells of them."""
    search = service.store.submit(problem(service))
    events = stream(service, search.id)
    next(events)
    if end == "cancelled":
        Jobs(service.store).cancel(search.id)
    else:
        Jobs(service.store).fail(claim(service.store, search), "no luck")
    assert json.loads(list(events)[-1]["data"])["state"] == end


def test_pause_and_resume_do_not_end_a_stream(service: Service) -> None:
    """States that are not final are told, and the stream stays open."""
    search, jobs = service.store.submit(problem(service)), Jobs(service.store)
    events = stream(service, search.id)
    seen = [next(events)]
    for verb in (jobs.pause, jobs.resume, jobs.cancel):
        verb(search.id)
        seen.append(next(events))
    assert [json.loads(event["data"])["state"] for event in seen] == ["queued", "paused", "queued", "cancelled"]
    assert list(events) == []


def test_a_stream_ends_when_its_search_is_deleted(service: Service) -> None:
    """Deleting the model takes its searches along; who comes in for them afterwards gets 404."""
    store = service.store
    search = publish(store, problem(service))
    store.delete_model(search.problem.model)
    answer = service.http.get(f"/v1/searches/{search.id}/events")
    assert answer.status_code == 404


@pytest.mark.parametrize("last", ["-1", "x", "1.5", str(2**70)])
def test_a_bad_last_event_id_is_refused(service: Service, last: str) -> None:
    """What was never an event's id is answered with 422 before the stream begins."""
    search = service.store.submit(problem(service))
    answer = service.http.get(f"/v1/searches/{search.id}/events", headers={"Last-Event-ID": last})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


def test_many_may_follow_at_once(service: Service) -> None:
    """More streams than the server has threads (40) do not keep others from being answered."""
    search = service.store.submit(problem(service))
    streams = [stream(service, search.id) for _ in range(50)]
    for events in streams:
        assert json.loads(next(events)["data"]) == {"state": "queued"}
    assert service.http.post(f"/v1/searches/{search.id}/cancel").status_code == 200
    for events in streams:
        assert [json.loads(event["data"])["state"] for event in events] == ["cancelled"]


def test_a_stream_is_never_cached(service: Service) -> None:
    """Streams tell caches and proxies to pass every event on."""
    search = publish(service.store, problem(service))
    headers = service.http.get(f"/v1/searches/{search.id}/events").headers
    assert headers["Cache-Control"] == "no-cache"
    assert headers["X-Accel-Buffering"] == "no"
