"""The command line as a user runs it, a service for it, and a client of that."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from api.inspection import Inspector
from api.settings import Settings
from fewstep.cli.app import app
from fewstep.client import Client, Model
from tests.api.support import Service, prepared, serving
from tests.fewstep.invoked import Fewstep


@pytest.fixture
def fewstep(monkeypatch: pytest.MonkeyPatch) -> Fewstep:
    """``fewstep("show", path)`` runs a command and gives its result; an unexpected exception is raised."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("FEWSTEP_URL", raising=False)

    def run_it(*words: object, env: dict[str, str] | None = None, typed: str | None = None) -> Any:
        result = CliRunner().invoke(app, [str(word) for word in words], env=env, input=typed)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run_it


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Those of a service that asks for work without delay."""
    return Settings(data_dir=tmp_path / "data", poll_seconds=0.02)


@pytest.fixture
def service(settings: Settings, inspector: Inspector) -> Iterator[Service]:
    """A service in a thread; its log is kept off the stdout that it shares with the command."""
    with structlog.testing.capture_logs(), serving(prepared(settings), inspector=inspector) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    """A client of that service."""
    with Client(service.url) as client:
        yield client


@pytest.fixture
def model(client: Client) -> Model:
    """A model that the service knows."""
    return client.add_model("digits-mixture")
