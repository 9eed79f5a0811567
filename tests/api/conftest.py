"""A fresh database and a client of the application for every test, and a browser for those that want one."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from fewstep.values.model import Model
from storage.store import Store
from tests.api.support import Service, add_model, prepared, serving
from tests.api.watched import Watched

CHROMIUM = os.environ.get("FEWSTEP_TEST_CHROMIUM", "/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, poll_seconds=0.02)


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(prepared(settings))


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


@pytest.fixture
def store(client: TestClient, app: FastAPI) -> Store:
    return app.state.store


@pytest.fixture
def model(store: Store) -> Model:
    return add_model(store)


@pytest.fixture
def untouched(client: TestClient, store: Store, model: Model) -> Iterator[None]:
    """Nothing was queued, and the service still works when the test is over."""
    yield
    assert store.searches().items == []
    assert client.get("/readyz").json() == {"status": "ok"}
    assert client.post("/v1/searches", json={"model": model.id, "nfe": 8}).status_code == 202


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; where there is none the tests say so and skip, except on CI."""
    say = pytest.fail if os.environ.get("CI") else pytest.skip
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        say("playwright is not installed: pip install -e '.[dev]'")
    if shutil.which(CHROMIUM) is None:
        say(f"there is no browser at {CHROMIUM}: apt-get install chromium, or set FEWSTEP_TEST_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def service(settings: Settings) -> Iterator[Service]:
    with serving(prepared(settings)) as service:
        add_model(service.store)
        yield service


@pytest.fixture
def open_page(browser: Any, service: Service) -> Iterator[Any]:
    """``open_page(path, **context)``: a watched page; whatever was wrong on any of them fails the test at its end."""
    contexts, opened = [], []

    def open_(path: str, **options: Any) -> Any:
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options}))
        contexts[-1].set_default_timeout(30_000)
        opened.append(Watched(contexts[-1].new_page(), service.url))
        opened[-1].page.goto(service.url + path)
        return opened[-1].page

    yield open_
    faults = [fault for watched in opened for fault in watched.faults]
    for context in contexts:
        context.close()
    assert faults == []
