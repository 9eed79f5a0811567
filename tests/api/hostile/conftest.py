"""A service for uploads of two megabytes and for programs, a good model, and a check that bad ones leave nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.inspection import Inspector
from api.settings import Settings
from storage.store import Store
from tests.api.support import PROBLEM_JSON
from tests.api.uploads import MOST, Parts, parts_of, pipeline, send, tree


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipeline(tmp_path_factory.mktemp("hostile") / "tiny")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, max_model_bytes=MOST, allow_programs=True)


@pytest.fixture
def refused(client: TestClient, app: FastAPI, settings: Settings, inspector: Inspector, store: Store) -> Iterator[Any]:
    """``refused(status, words, body, **headers)``: the upload is refused; in the end all is as it was, byte by byte."""
    app.state.inspector = inspector
    before = tree(settings.data_dir)

    def check(status: int, words: str, body: Any, **headers: str) -> None:
        answer = send(client, body, **headers)
        assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM_JSON), answer.text[:500]
        assert words in answer.json()["detail"]
        assert len(answer.text) < 3000

    yield check
    assert tree(settings.data_dir) == before
    assert store.models() == []


@pytest.fixture
def parts(folder: Path) -> Parts:
    return parts_of(folder)
