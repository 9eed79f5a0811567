"""The container set-up, without containers: its very commands and environment as local processes on PostgreSQL."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from api.runner import alive_file
from fewstep.client import Client
from tests.service.support import PATIENCE, READY, answers, free_port, wait_until

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def environment(service: str, database_url: str, data_dir: Path, port: int) -> dict[str, str]:
    """A service's environment as its container would get it, but with the database and the folder at hand."""
    given = {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(v)) for name, v in SERVICES[service]["environment"].items()}
    assert given["FEWSTEP_DATABASE_URL"] == "postgresql+psycopg://fewstep:fewstep@database:5432/fewstep"
    assert given["FEWSTEP_DATA_DIR"] == "/data"
    here = {"FEWSTEP_DATABASE_URL": database_url, "FEWSTEP_DATA_DIR": str(data_dir), "FEWSTEP_PORT": str(port)}
    return os.environ | given | here


def command(words: list[str]) -> list[str]:
    """A container's command line, with this Python for the image's."""
    assert words[0] == "python"
    return [sys.executable, *words[1:]]


@contextmanager
def up(database_url: str, data_dir: Path, port: int) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """The api and the runner, as the compose file starts them, until the block ends."""
    with ExitStack() as stack:
        processes = {}
        for name in ("api", "runner"):
            log = stack.enter_context((data_dir / f"{name}.log").open("wb"))
            environ = environment(name, database_url, data_dir, port)
            process = subprocess.Popen(command(SERVICES[name]["command"]), env=environ, stdout=log, stderr=log)
            stack.callback(process.wait, timeout=60)
            stack.callback(process.terminate)
            processes[name] = process
        yield processes


def healthy(service: str, database_url: str, data_dir: Path, port: int) -> bool:
    """Whether the service's own health check passes."""
    kind, *words = SERVICES[service]["healthcheck"]["test"]
    assert kind == "CMD"
    environ = environment(service, database_url, data_dir, port)
    return subprocess.run(command(words), env=environ, capture_output=True, check=False).returncode == 0


def test_the_set_up_runs_a_search_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    """Both services come up healthy on a fresh database, search, publish, and stop when told to."""
    port = free_port()
    with up(postgres_url, tmp_path, port) as processes, Client(f"http://127.0.0.1:{port}") as client:

        def logs() -> str:
            return "\n".join((tmp_path / f"{name}.log").read_text()[-2000:] for name in processes)

        wait_until(lambda: answers(client), READY, logs)
        wait_until(alive_file(tmp_path).exists, PATIENCE, logs)
        assert all(healthy(service, postgres_url, tmp_path, port) for service in ("api", "runner")), logs()
        client.add_model("digits-mixture")
        ended = client.wait(client.submit("digits-mixture", nfe=3, budget=8, noises=16).id)
        assert ended.state == "succeeded", (ended.error, logs())
        assert client.best("digits-mixture", nfe=3).schedule.nfe == 3
        processes["runner"].terminate()
        assert processes["runner"].wait(timeout=60) == 0
    assert not healthy("api", postgres_url, tmp_path, port)


def test_every_service_is_watched_and_waits_for_the_database() -> None:
    """Each service has a health check; api and runner start only once the database is healthy."""
    assert set(SERVICES) == {"api", "runner", "database"}
    for name, service in SERVICES.items():
        assert service["healthcheck"]["test"], name
    for name in ("api", "runner"):
        assert SERVICES[name]["depends_on"]["database"]["condition"] == "service_healthy"


def test_nothing_is_published_beyond_this_machine() -> None:
    """Ports are bound to loopback, and the database publishes none."""
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:8471:8471"]
    assert "ports" not in SERVICES["database"]


def test_the_image_copies_what_it_runs() -> None:
    """Every path that the Dockerfile copies exists; so does every package the service imports; no root."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in shlex.split(line)[1:-1]]
    assert all((ROOT / path).exists() for path in copied)
    assert {"fewstep", "search", "predictor", "storage", "api"} <= set(copied)
    assert "USER fewstep" in lines
