"""A real service on a free port, and stores filled with results of real schedules."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import uvicorn

from api.app import create_app
from api.inspection import Inspector
from api.settings import Settings
from api.submission import of_zoo
from fewstep.values.model import Model
from fewstep.values.problem import Problem
from fewstep.values.search import Search
from storage.jobs import Jobs
from storage.lease import Claim
from storage.store import Store
from tests.storage import samples

PROBLEM_JSON = "application/problem+json"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Service:
    """A running service: where it listens, the store behind it, and a plain connection to it."""

    url: str
    store: Store
    http: httpx.Client


@cache
def empty_tables() -> bytes:
    """The file of an SQLite database that was just migrated."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "fewstep.db"
        with Store(f"sqlite:///{path}") as store:
            store.migrate()
        return path.read_bytes()


def prepared(settings: Settings) -> Settings:
    """The settings, their database filled with empty tables: to make these anew is most of a service's start."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    (settings.data_dir / "fewstep.db").write_bytes(empty_tables())
    return settings


@contextmanager
def serving(settings: Settings, port: int = 0, inspector: Inspector | None = None) -> Iterator[Service]:
    """The service in a thread, on a free port unless one is named, until the block ends; an inspector at hand saves it
    the start of its own process."""
    app = create_app(settings)
    config = uvicorn.Config(app, port=port, ws="none", log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server could not start"
            time.sleep(0.01)
        app.state.inspector = inspector or app.state.inspector
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, timeout=30.0) as http:
            yield Service(url, app.state.store, http)
    finally:
        server.should_exit = True
        thread.join(timeout=30)


def add_model(store: Store, name: str = "digits-mixture") -> Model:
    """A model of the zoo in the store."""
    return store.add_model(of_zoo(name))


def claim(store: Store, search: Search) -> Claim:
    """The lease on ``search``, which must be the next in the queue."""
    taken = Jobs(store).claim("test runner", lease=600.0)
    assert taken is not None
    assert taken.search.id == search.id
    return taken


def publish(store: Store, problem: Problem, **values: float) -> Search:
    """A search that ran three trials and succeeded."""
    jobs, search = Jobs(store), store.submit(problem)
    held = claim(store, search)
    jobs.phase(held, "baselines", 1, 3)
    for number, value in enumerate((0.3, None, 0.2)):
        jobs.record(held, samples.trial(number, value, samples.schedule(problem.nfe)))
    jobs.succeed(held, samples.result(problem, **values))
    return store.search(search.id)


def check(answer: Any, status: int, *words: str) -> None:
    """The answer is a problem of that status whose detail holds the words."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM_JSON), answer.text[:500]
    content = answer.json()
    assert content["status"] == status
    assert content["title"]
    for word in words:
        assert word in content["detail"]
