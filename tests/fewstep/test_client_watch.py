"""The HTTP client follows a search, also over a restart of the service."""

import threading
import time
from collections.abc import Callable

from api.settings import Settings
from fewstep.client import Client, Event, Model
from fewstep.values.problem import Problem
from storage.jobs import Jobs
from storage.store import Store
from tests.api.support import Service, claim, publish, serving
from tests.storage.samples import result, trial


def until(ready: Callable[[], object]) -> None:
    """Wait for another thread."""
    deadline = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_watch_gives_every_event_to_the_end(client: Client, service: Service, model: Model) -> None:
    """Events are those of the store; from any id onwards too; after the last one there is nothing."""
    search = publish(service.store, Problem(model.id, 4))
    stored = [Event(e.id, search.id, e.kind, e.data) for e in service.store.events(search.id)]
    assert list(client.watch(search.id)) == stored
    assert stored[-1].final
    assert not any(event.final for event in stored[:-1])
    assert list(client.watch(search.id, after=stored[2].id)) == stored[3:]
    assert list(client.watch(search.id, after=stored[-1].id)) == []


def test_progress_is_seen_through_the_client(client: Client, service: Service, model: Model) -> None:
    """A running search shows its evaluations and the best score so far."""
    search = client.submit(model.id, 5)
    held = claim(service.store, service.store.search(search.id))
    Jobs(service.store).record(held, trial(0, 0.25))
    shown = client.search(search.id)
    assert (shown.state, shown.evaluations, shown.best) == ("running", 1, trial(0, 0.25).score)
    assert shown.started is not None


def test_watch_survives_a_restart_of_the_service(settings: Settings) -> None:
    """The service goes away and comes back: no event is lost or repeated, those written meanwhile included."""
    seen: list[Event] = []
    with Store(settings.database_url) as store:
        with serving(settings) as service, Client(service.url) as client:
            search = client.submit(client.add_model("digits-mixture").id, 5)
            port = int(service.url.rpartition(":")[2])
            url = service.url

            def follow() -> None:
                with Client(url) as watching:
                    for event in watching.watch(search.id):
                        seen.append(event)

            watcher = threading.Thread(target=follow)
            watcher.start()
            until(lambda: seen)
        held = claim(store, store.search(search.id))
        Jobs(store).record(held, trial(0))
        with serving(settings, port):
            Jobs(store).succeed(held, result(search.problem))
            watcher.join(timeout=60)
        assert not watcher.is_alive()
        assert [event.id for event in seen] == [event.id for event in store.events(search.id)]
    assert seen[-1].data == {"state": "succeeded"}
