"""What a worker does with a model: teach it, follow it, measure schedules on it.

Every function here takes the `Evaluator` that its pool slot holds and small picklable values, and returns the same.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import fewstep
from fewstep import Schedule
from fewstep.models import Denoiser
from fewstep.models.base import passes
from fewstep.trajectory import Trajectories
from search import teacher
from search.chunks import Chunked, Limit, default_batch
from search.metrics import endpoint
from search.noises import NoiseSet

__all__ = ["Evaluator", "count_passes", "follow", "measure", "teach"]


@dataclass
class Evaluator:
    """One model on one device with the teacher's ends for the noises seen so far.

    ``identity`` names the model in the cache folder ``cache`` (none: kept in memory only). ``batch`` is the most
    samples of a call, by default what `search.chunks.default_batch` says; results depend on it by rounding only.
    ``features`` maps images to features (n, F), for losses in a feature space.
    """

    denoiser: Denoiser
    shape: tuple[int, ...]
    identity: str = "in-process"
    cache: Path | None = None
    device: str = "cpu"
    batch: int | None = None
    features: Callable[[torch.Tensor], torch.Tensor] | None = None
    ends: dict[tuple[NoiseSet, int], tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._limit = Limit(self.batch or default_batch(self.shape))

    def under(self, noises: NoiseSet, picks: Sequence[int] | None = None) -> Denoiser:
        """The denoiser for the samples of these noises, or of some of them: noise i runs under condition i, modulo
        their number."""
        chosen = range(noises.count) if picks is None else picks
        return Chunked(self.denoiser, [noises.first + i for i in chosen], self._limit)

    def taught(self, noises: NoiseSet, calls: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The noises and the teacher's ends (n, *shape) after ``calls`` calls; computed once, then remembered."""
        if (noises, calls) not in self.ends:
            noise = noises.draw(self.shape).to(self.device)
            self.keep_ends(noises, calls, lambda: teacher.ends(self.under(noises), noise, calls))
        return self.ends[noises, calls]

    def keep_ends(self, noises: NoiseSet, calls: int, make: Callable[[], torch.Tensor]) -> None:
        """Remember the teacher's ends of the noises, from the cache or made now."""
        key = f"{noises}/{calls}/{teacher.schedule(self.denoiser.process, calls).digest}"
        ends = self.kept("teacher", key, lambda: {"ends": make()})["ends"].to(self.device)
        self.ends[noises, calls] = noises.draw(self.shape).to(self.device), ends

    def kept(self, kind: str, key: str, make: Callable[[], dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Tensors from the cache folder, or made now and left there; without a folder they are made."""
        if self.cache is None:
            return make()
        name = hashlib.sha256(f"{self.identity}/{self.shape}/{key}".encode()).hexdigest()
        path = self.cache / f"{kind}-{name}.safetensors"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.partial")
            save_file({name: made.cpu().contiguous() for name, made in make().items()}, partial)
            partial.replace(path)  # atomic: another worker sees the whole file or none
        return load_file(path)


def teach(evaluator: Evaluator, noises: NoiseSet, calls: int) -> np.ndarray:
    """Prepare the teacher's ends and return them (n, *shape), float32."""
    ends: np.ndarray = evaluator.taught(noises, calls)[1].cpu().numpy()
    return ends


def follow(evaluator: Evaluator, noises: NoiseSet) -> Trajectories:
    """The teacher's stored trajectories of the noises; their ends are remembered too."""
    followed, ends = teacher.trace(evaluator.under(noises), noises.draw(evaluator.shape).to(evaluator.device))
    evaluator.keep_ends(noises, teacher.CALLS, lambda: ends)
    return followed


def measure(evaluator: Evaluator, noises: NoiseSet, schedule: Schedule) -> np.ndarray:
    """Squared endpoint errors (n,) of a schedule; not finite where it diverges. Costs n·nfe sample-calls."""
    noise, ends = evaluator.taught(noises, teacher.CALLS)
    samples = fewstep.sample(evaluator.under(noises), schedule, noise)
    return endpoint.squared_errors(samples.cpu().numpy(), ends.cpu().numpy())


def count_passes(evaluator: Evaluator) -> int:
    """How often a call of the model passes its network."""
    return passes(evaluator.denoiser)
