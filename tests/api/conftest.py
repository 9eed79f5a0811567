"""A fresh database and a client of the application for every test."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from api.inspection import Inspector
from api.settings import Settings
from storage.store import Store
from storage.values import Model
from tests.api.support import add_model


@pytest.fixture(scope="session")
def inspector() -> Iterator[Inspector]:
    """One process that looks through models, for all tests."""
    with closing(Inspector(120.0)) as inspector:
        yield inspector


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, poll_seconds=0.02)


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


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
