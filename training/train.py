"""One trainer for every network: Adam, a cosine learning rate, averaged weights, exact resumption.

Each iteration draws from a generator seeded by (seed, iteration), on the CPU whatever the device. So an interrupted
training that goes on from its checkpoint ends with the weights of one that was never interrupted.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fewstep.errors import InvalidInput
from training.data import Images

__all__ = ["Loss", "Settings", "train"]

# (network, data (B, ...), labels (B,), generator) -> scalar
Loss = Callable[[nn.Module, torch.Tensor, torch.Tensor, torch.Generator], torch.Tensor]

WARM_UP = 100  # iterations until the learning rate is reached
STRIDE = 1_000_003  # between the streams of two seeds; generators on the CPU use 32 bits


@dataclass(frozen=True)
class Settings:
    """How long and how fast: ``iterations`` of ``batch`` samples, Adam's ``rate``, ``decay`` of the averaged weights.

    ``every``: iterations between checkpoints. ``bfloat16``: the network runs in bfloat16 on a CPU too.
    """

    iterations: int
    batch: int = 128
    rate: float = 2e-3
    decay: float = 0.999
    seed: int = 0
    every: int = 500
    bfloat16: bool = False

    def __post_init__(self) -> None:
        if min(self.iterations, self.batch, self.every) < 1 or not 0 <= self.decay < 1 or not self.rate > 0:
            raise InvalidInput(f"training wants positive counts and rate, and 0 <= decay < 1; got {self}")

    def factor(self, iteration: int) -> float:
        """The learning rate at ``iteration`` as a share of ``rate``: a warm-up, then half a cosine down to 0."""
        return min(1.0, (iteration + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * iteration / self.iterations))


def train(
    make: Callable[[], nn.Module],
    loss: Loss,
    data: Images,
    settings: Settings,
    checkpoint: Path | None = None,
    device: torch.device | str = "cpu",
) -> nn.Module:
    """Train the network that ``make`` makes; return it with averaged weights, on the CPU, ready to predict.

    ``checkpoint``: a file to go on from where it exists, written every ``settings.every`` iterations and removed at the
    end. On CUDA the network is compiled and runs in bfloat16; weights and sums stay float32. Raises `InvalidInput`
    where the checkpoint is of another training.
    """
    device = torch.device(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = make().to(device).train()
        average = get_ema_multi_avg_fn(settings.decay)  # type: ignore[no-untyped-call]
        averaged = AveragedModel(network, multi_avg_fn=average)
        adam = torch.optim.Adam(network.parameters(), settings.rate)
        rate = torch.optim.lr_scheduler.LambdaLR(adam, settings.factor)
        parts = {"network": network, "averaged": averaged, "adam": adam, "rate": rate}
        first = _restore(checkpoint, parts, settings)
        run: Any = torch.compile(network) if device.type == "cuda" else network
        images, labels = data.images.to(device), data.labels.to(device)
        bar = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*bar) as progress:
            task = progress.add_task("training", total=settings.iterations, completed=first)
            for iteration in range(first, settings.iterations):
                generator = torch.manual_seed(settings.seed * STRIDE + iteration)  # dropout draws from it too
                chosen = _choose(data, settings.batch, generator).to(device)
                with torch.autocast(device.type, torch.bfloat16, enabled=settings.bfloat16 or device.type == "cuda"):
                    value = loss(run, images[chosen], labels[chosen], generator)
                adam.zero_grad()
                value.backward()  # type: ignore[no-untyped-call]
                adam.step()
                rate.step()
                averaged.update_parameters(network)
                progress.update(task, advance=1)
                if iteration % 50 == 0:
                    progress.update(task, description=f"loss {value.item():.4f}")
                if checkpoint and (iteration + 1) % settings.every == 0:
                    _save(checkpoint, parts, settings, iteration + 1)
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    trained: nn.Module = averaged.module
    return trained.cpu().eval()


def _choose(data: Images, count: int, generator: torch.Generator) -> torch.Tensor:
    """Places (count,) of the images of a batch, drawn with replacement."""
    if data.weights is None:
        return torch.randint(len(data.images), (count,), generator=generator)
    return torch.multinomial(data.weights, count, replacement=True, generator=generator)


def _save(path: Path, parts: dict[str, Any], settings: Settings, iteration: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    states = {name: part.state_dict() for name, part in parts.items()}
    partial = path.with_suffix(".partial")
    torch.save({"states": states, "settings": repr(settings), "iteration": iteration}, partial)
    partial.replace(path)  # a crash while writing leaves the checkpoint before


def _restore(path: Path | None, parts: dict[str, Any], settings: Settings) -> int:
    """The iteration to go on with."""
    if path is None or not path.exists():
        return 0
    stored = torch.load(path, weights_only=True)
    if stored["settings"] != repr(settings):
        raise InvalidInput(
            f"{path} is of a training with {stored['settings']}, not {settings}: remove it to start anew"
        )
    for name, part in parts.items():
        part.load_state_dict(stored["states"][name])
    return int(stored["iteration"])
