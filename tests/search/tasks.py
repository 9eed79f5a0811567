"""Tasks for workers of a pool, in a module that a worker imports without the tests and what these need."""

import os
import signal
import time
from pathlib import Path

from fewstep.errors import InvalidInput
from fewstep.search.evaluation.evaluator import Evaluator


def process_id(evaluator: Evaluator) -> int:
    return os.getpid()


def shape_of(evaluator: Evaluator) -> tuple[int, ...]:
    return evaluator.shape


def identity_of(evaluator: Evaluator) -> str:
    return evaluator.identity


def refuse(evaluator: Evaluator, what: str) -> None:
    raise InvalidInput(f"no {what} today")


def die(evaluator: Evaluator) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(evaluator: Evaluator, marker: Path) -> str:
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def sleep(evaluator: Evaluator | None) -> None:
    time.sleep(60)


def wait_at(folder: Path) -> str:
    """Write a line with this node to the next file "here-…", then wait for the file "go"."""
    import ray

    turn = len(list(folder.glob("here-*")))
    (folder / f"here-{turn}").write_text(f"{ray.get_runtime_context().get_node_id()}\n")
    while not (folder / "go").exists():
        time.sleep(0.05)
    return "gone"


def until_cancelled(folder: Path) -> None:
    """Work until Ray's request to stop, and say so in the file "stopped"."""
    import ray

    (folder / "started").touch()
    while not ray.get_runtime_context().is_canceled():
        time.sleep(0.01)
    (folder / "stopped").touch()
