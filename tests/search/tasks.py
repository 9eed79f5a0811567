"""Tasks for workers of a pool, in a module that a worker imports without the tests and what these need."""

import os
import signal
import time
from collections.abc import MutableSequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from threadpoolctl import threadpool_info

from fewstep.errors import InvalidInput
from fewstep.models import Wrapped
from fewstep.search.evaluation import local_pool
from fewstep.search.evaluation.evaluator import Evaluator, follow
from fewstep.search.evaluation.noises import SEARCH, NoiseSet
from fewstep.search.evaluation.slots import SlotSettings


def process_id(evaluator: Evaluator) -> int:
    return os.getpid()


def shape_of(evaluator: Evaluator) -> tuple[int, ...]:
    return evaluator.shape


def identity_of(evaluator: Evaluator) -> str:
    return evaluator.identity


def threads() -> list[int]:
    """CPU threads of the thread that runs this: by OpenMP's own word, then by torch's."""
    openmp = [each["num_threads"] for each in threadpool_info() if each["user_api"] == "openmp"]
    return [*openmp, torch.get_num_threads()]


def models_held() -> list[str]:
    """Names of the models that this worker holds."""
    return [reference.name for reference, *_ in local_pool._held]


def fail_to_begin(settings: SlotSettings, pulse: MutableSequence[float]) -> None:
    raise InvalidInput(f"no {settings.device} today")


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


def beat_for(evaluator: Evaluator, seconds: float, pause: float) -> str:
    """Work for so many seconds, with a call of the network after every pause."""
    under, x = evaluator.under(NoiseSet(0, SEARCH, 1)), torch.zeros(1, *evaluator.shape)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(pause)
        under(x, torch.full((1,), 0.5))
    return "done"


def give_signs(count: int, longest: float) -> None:
    """Signs of life, each after a call of so many seconds, and then silence for one."""
    for _ in range(count):
        local_pool._beat(longest)
    time.sleep(1.0)


def follow_and_die_once(evaluator: Evaluator, marker: Path, noises: NoiseSet, size: int, calls: int) -> int:
    """The teacher's trajectories in pieces of a size; the worker dies after so many samples' calls, once. Calls that
    this worker made."""
    counted = Counted(evaluator.denoiser, marker, calls)
    again = replace(evaluator, denoiser=counted)
    again._block = size
    follow(again, noises)
    return counted.calls[0]


@dataclass(frozen=True)
class Counted(Wrapped):
    """Counts calls, and kills its process after some of them unless the marker is there."""

    marker: Path
    most: int
    calls: list[int] = field(default_factory=lambda: [0])

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        self.calls[0] += len(x)
        if self.calls[0] > self.most and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.denoiser(x, t)
