"""What a worker does with a model: teach it, follow it, measure schedules on it.

Every function here takes the `Evaluator` that its pool slot holds and small picklable values, and returns the same.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import fewstep
from fewstep import Schedule
from fewstep.models import Denoiser
from fewstep.models.base import check_denoiser
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.microbatch import Chunked, Limit, default_batch
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.metrics import endpoint, spaces
from fewstep.search.metrics.features import Features, rows_of
from fewstep.trajectory import Trajectories
from fewstep.values.objective import Measure

__all__ = ["Evaluator", "count_passes", "follow", "measure", "observe", "teach"]


@dataclass
class Evaluator:
    """One model on one device with the teacher's ends for the noises seen so far.

    ``identity`` names the model in the cache folder ``cache`` (none: kept in memory only). ``batch`` is the most
    samples of a call, by default what `fewstep.search.evaluation.microbatch.default_batch` says; results depend on it
    by rounding only. ``features`` maps images to features (n, F), for losses in a feature space. ``metrics`` is the
    folder with the operator's features (`fewstep.values.catalogue`).
    """

    denoiser: Denoiser
    shape: tuple[int, ...]
    identity: str = "in-process"
    cache: Path | None = None
    device: str = "cpu"
    batch: int | None = None
    features: Features | None = None
    metrics: Path | None = None
    ends: dict[tuple[NoiseSet, int], tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_denoiser(self.denoiser)
        self._limit = Limit(self.batch or default_batch(self.shape))
        self._seen: dict[str, Features] = {}
        self._taught: dict[tuple[str, NoiseSet], np.ndarray] = {}  # features of the teacher's ends

    def under(self, noises: NoiseSet, picks: Sequence[int] | None = None) -> Denoiser:
        """The denoiser for the samples of these noises, or of some of them: noise i runs under condition i, modulo
        their number."""
        chosen = range(noises.count) if picks is None else picks
        return Chunked(self.denoiser, [noises.first + i for i in chosen], self._limit)

    def rows(self, measure: Measure, noises: NoiseSet, samples: torch.Tensor, ends: torch.Tensor) -> np.ndarray:
        """What a measure keeps of samples (n, ...) of the noises, with the teacher's ``ends``; see its metric."""
        if measure.metric == "endpoint":
            return endpoint.squared_errors(samples.cpu().numpy(), ends.cpu().numpy())[:, None]
        own, key = self.seen(measure.features, samples), (measure.features, noises)
        if not measure.taught:
            return own
        if key not in self._taught:
            self._taught[key] = self.seen(measure.features, ends)
        return np.hstack([own, self._taught[key]])

    def seen(self, name: str, samples: torch.Tensor) -> np.ndarray:
        """The features (n, F) of that name of samples (n, ...); they are loaded once."""
        if name not in self._seen:
            self._seen[name] = spaces.features(name, self.metrics, self.device)
        return rows_of(self._seen[name], samples)

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

    def keep_parts(self, noises: NoiseSet, parts: Sequence[NoiseSet], calls: int, ends: torch.Tensor) -> None:
        """Remember the ends of parts of the noises, whose ends (n, *shape) are known."""
        for part in parts:
            first = part.first - noises.first
            own = ends[first : first + part.count]
            self.keep_ends(part, calls, partial(_same, own))

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


def _same(ends: torch.Tensor) -> torch.Tensor:
    return ends


def teach(evaluator: Evaluator, noises: NoiseSet, calls: int, parts: Sequence[NoiseSet] = ()) -> np.ndarray:
    """Prepare the teacher's ends and return them (n, *shape), float32; those of ``parts`` are remembered too."""
    made = evaluator.taught(noises, calls)[1]
    evaluator.keep_parts(noises, parts, calls, made)
    ends: np.ndarray = made.cpu().numpy()
    return ends


def follow(evaluator: Evaluator, noises: NoiseSet, parts: Sequence[NoiseSet] = ()) -> Trajectories:
    """The teacher's stored trajectories of the noises; their ends are remembered too, those of ``parts`` as well."""
    followed, ends = teacher.trace(evaluator.under(noises), noises.draw(evaluator.shape).to(evaluator.device))
    evaluator.keep_parts(noises, (noises, *parts), teacher.CALLS, ends)
    return followed


def measure(evaluator: Evaluator, noises: NoiseSet, schedule: Schedule) -> np.ndarray:
    """Squared endpoint errors (n,) of a schedule; not finite where it diverges. Costs n·nfe sample-calls."""
    return observe(evaluator, noises, schedule, [Measure()])[0][:, 0]


def observe(
    evaluator: Evaluator, noises: NoiseSet, schedule: Schedule, measures: Sequence[Measure]
) -> list[np.ndarray]:
    """What each measure keeps of a schedule's samples: rows (n, F), not finite where it diverges.

    Costs n·nfe sample-calls.
    """
    noise, ends = evaluator.taught(noises, teacher.CALLS)
    samples = fewstep.sample(evaluator.under(noises), schedule, noise)
    return [evaluator.rows(each, noises, samples, ends) for each in measures]


def count_passes(evaluator: Evaluator) -> int:
    """How often a call of the model passes its network."""
    return evaluator.denoiser.passes
