"""The service as its operator starts it: real processes, killed for real."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from fewstep.client import Client, Search
from fewstep.errors import ServiceError

PATIENCE = 300.0  # seconds until something that must happen counts as lost
READY = 120.0


@dataclass(frozen=True)
class Running:
    """A started service: its process, a client of it, and where its log lies."""

    process: subprocess.Popen[bytes]
    client: Client
    log: Path

    def family(self) -> list[psutil.Process]:
        """The service's process and all below it: the runner, its workers."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def workers(self) -> list[psutil.Process]:
        """The processes that evaluate."""
        return [p for p in self.family() if any("spawn_main" in part for part in p.cmdline())]

    def kill(self) -> None:
        """SIGKILL to the web service and the runner at once; workers are left to notice by themselves."""
        family = self.family()
        for process in family[:2]:
            process.kill()
        self.process.wait()
        _, alive = psutil.wait_procs(family, timeout=30)
        assert not alive, f"orphans stay: {alive}"


@contextmanager
def started(database_url: str, data_dir: Path, slots: int = 2, lease: float = 30.0, **more: str) -> Iterator[Running]:
    """``python -m api serve`` on a free port until the block ends; ``more`` are environment variables."""
    log, port = data_dir / f"service-{time.monotonic_ns()}.log", free_port()
    settings = {
        "FEWSTEP_DATABASE_URL": database_url,
        "FEWSTEP_DATA_DIR": str(data_dir),
        "FEWSTEP_SLOTS": str(slots),
        "FEWSTEP_LEASE_SECONDS": str(lease),
    }
    with log.open("wb") as out:
        command = [sys.executable, "-m", "api", "serve", "--port", str(port)]
        process = subprocess.Popen(command, env=os.environ | settings | more, stdout=out, stderr=out)
    try:
        with Client(f"http://127.0.0.1:{port}") as client:
            wait_until(lambda: answers(client), READY, lambda: log.read_text())
            yield Running(process, client, log)
    finally:
        process.terminate()
        process.wait(timeout=60)


def answers(client: Client) -> bool:
    """Whether the service answers yet."""
    try:
        client.models()
    except ServiceError:
        return False
    return True


def wait_until(happened: Callable[[], bool], patience: float = PATIENCE, tell: Callable[[], str] = str) -> None:
    """Wait for something that must happen."""
    deadline = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < deadline, tell()
        time.sleep(0.05)


def finish(running: Running, search: Search) -> Search:
    """The search once it has ended, which it must do well."""
    ended = running.client.wait(search.id)
    assert ended.state == "succeeded", (ended.error, running.log.read_text()[-4000:])
    return ended


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
