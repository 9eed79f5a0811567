"""What a worker does with a model: prepare its teacher, observe schedules on it.

Every function here takes the `Evaluator` that its pool slot holds and small picklable values, and returns the same.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

import fewstep
from fewstep import Schedule
from fewstep.errors import InvalidInput, SearchFailed
from fewstep.models import Denoiser
from fewstep.models.base import check_denoiser
from fewstep.search import metrics
from fewstep.search.evaluation import pace, teacher
from fewstep.search.evaluation.microbatch import Chunked, default_batch
from fewstep.search.evaluation.noises import TEST, NoiseSet
from fewstep.search.evaluation.store import CacheEntry, Recent, load, save
from fewstep.search.limit import Beat, Limit
from fewstep.search.metrics.base import Metric, bounded
from fewstep.search.metrics.features import Features
from fewstep.search.metrics.paired import Typical, squared_distances
from fewstep.timeshift import pixel_variance
from fewstep.trajectory import Trajectories
from fewstep.values.objective import Objective

__all__ = [
    "Evaluator",
    "convergence",
    "count_passes",
    "block_of",
    "facts",
    "follow",
    "follow_for",
    "measure",
    "metrics_of",
    "observe",
    "teach",
    "teach_for",
    "together",
]


MADE = 2**31  # bytes that are kept in memory where there is no cache folder
SMALL = 256  # samples of a run that is small
TARGETS = 2**28  # bytes of noises and targets that stay on the device


@dataclass
class Evaluator:
    """One model on one device, with the teacher's samples of the noises that were asked for so far.

    ``identity`` names the model in the cache folder ``cache`` (none: kept in memory only). ``batch`` is the most
    samples of a call, by default what `fewstep.search.evaluation.microbatch.default_batch` says; results depend on it
    by rounding only. ``features`` maps images to features (n, F), for losses in a feature space. ``metrics`` is the
    folder with the operator's features and references (`fewstep.values.catalogue`). The last ``unseen`` conditions of
    the model are for the test noises alone, the others for all other noises; 0: all are for all. ``targets`` holds,
    for noises and a number of the teacher's calls, the noises and the teacher's samples that were used last. ``beat``
    is called after every call of the network (`fewstep.search.limit.Beat`). ``backward`` limits the
    samples whose gradient is made together.

    What the teacher did is made once and shared by every search of the model; the ``owner`` of it, who paid its calls,
    is the search that made it first.
    """

    denoiser: Denoiser
    shape: tuple[int, ...]
    identity: str = "in-process"
    cache: Path | None = None
    device: str = "cpu"
    batch: int | None = None
    features: Features | None = None
    metrics: Path | None = None
    unseen: int = 0
    targets: Recent[tuple[NoiseSet, int]] = field(default_factory=lambda: Recent(TARGETS))
    beat: Beat | None = None
    backward: Limit = field(init=False)

    def __post_init__(self) -> None:
        check_denoiser(self.denoiser)
        self._limit = Limit(self.batch or default_batch(self.shape), beat=self.beat)
        self.backward = Limit(self._limit.batch)
        self._block: int | None = None
        self._metrics: dict[Objective, Metric] = {}
        self._made = Recent[str](MADE)

    def under(self, noises: NoiseSet, picks: Sequence[int] | None = None) -> Denoiser:
        """The denoiser for the samples of these noises, or of some of them: noise i runs under condition i of those of
        the noises' role, modulo their number."""
        numbers = [noises.first + i for i in (range(noises.count) if picks is None else picks)]
        if self.unseen:
            searched = self.denoiser.conditions - self.unseen
            test = noises.role == TEST
            numbers = [searched + i % self.unseen if test else i % searched for i in numbers]
        return Chunked(self.denoiser, numbers, self._limit)

    @property
    def block(self) -> int:
        """Noises that the teacher works on in one piece, which the cache folder then has
        (`fewstep.search.evaluation.pace`). Without a cache folder all is lost with the process, and calls are not
        timed."""
        if self._block is None:
            if self.cache is None:
                self._block = pace.block(self.shape, 0.0)
            else:
                self._block = int(self.shared("block", "", self._paced, "")[0]["block"])
        return self._block

    def _paced(self) -> dict[str, torch.Tensor]:
        every = range(self._limit.batch)
        model = Chunked(self.denoiser, every, self._limit)
        seconds = pace.seconds_per_call(model, self.shape, self.device, min(self._limit.batch, pace.MOST))
        return {"block": torch.tensor(pace.block(self.shape, seconds))}

    def metric(self, objective: Objective) -> Metric:
        """The metric of an objective for samples on this device; its features are loaded once."""
        if objective not in self._metrics:
            self._metrics[objective] = metrics.of(objective, self.metrics, self.device)
        return self._metrics[objective]

    def pairs(self, noises: NoiseSet, calls: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The noises and the teacher's samples of them after ``calls`` calls, both (n, *shape); computed once."""
        kept = self.targets.get((noises, calls))
        if kept is None:
            ends = torch.cat([self.ends(block, calls)[0] for block in noises.blocks(self.block)])
            both = {"noise": noises.draw(self.shape).to(self.device), "ends": ends.to(self.device)}
            kept = CacheEntry(both, "")
            self.targets.put((noises, calls), kept)
        return kept.tensors["noise"], kept.tensors["ends"]

    def picked(self, noises: NoiseSet, picks: Sequence[int], calls: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The noises and the teacher's samples of some of the noises; only these are on the device where all together
        would be large."""
        if self.held(2 * noises.count):
            noise, ends = self.pairs(noises, calls)
            return noise[list(picks)], ends[list(picks)]
        blocks = noises.blocks(self.block)
        singles = [replace(noises, first=noises.first + i, count=1) for i in picks]
        rows = []
        for single in singles:
            block = next(block for block in blocks if block.common(single))
            first = single.first - block.first
            rows.append(self.ends(block, calls)[0][first : first + 1])
        noise = noises.draw(self.shape, picks)
        return noise.to(self.device), torch.cat(rows).to(self.device)

    def size(self, noises: NoiseSet, calls: int) -> float:
        """Root mean square of the teacher's samples of the noises."""
        ends = (self.ends(block, calls)[0] for block in noises.blocks(self.block))
        zero = torch.zeros(())
        return float(np.sqrt(np.concatenate([squared_distances(each.cpu(), zero) for each in ends]).mean()))

    def held(self, samples: int) -> bool:
        """Whether so many samples may stay on the device together."""
        return samples * prod(self.shape) * 4 <= TARGETS

    def at_once(self, width: int) -> int:
        """Samples that are worked on together where each takes ``width`` states: all that may stay on the device, else
        a batch."""
        most = TARGETS // (4 * width * prod(self.shape))
        return most if most >= SMALL else self._limit.batch

    def samples(self, schedule: Schedule, noises: NoiseSet, picks: Sequence[int] | None = None) -> torch.Tensor:
        """The schedule's samples (n, *shape) of the noises, or of some of them, for n·nfe network calls.

        Where a run of all would be large they are made a batch at a time.
        """
        chosen = list(range(noises.count)) if picks is None else list(picks)
        size = self.at_once(schedule.nfe + 2)
        parts = [chosen[i : i + size] for i in range(0, len(chosen), size)]
        made = [
            fewstep.sample(self.under(noises, part), schedule, self.picked(noises, part, teacher.CALLS)[0])
            for part in parts
        ]
        return made[0] if len(made) == 1 else torch.cat(made)

    def ends(self, block: NoiseSet, calls: int, owner: str = "") -> tuple[torch.Tensor, bool]:
        """The teacher's samples (n, *shape) of noises of one piece, and whether ``owner`` made them."""

        def make() -> torch.Tensor:
            return teacher.ends(self.under(block), block.draw(self.shape).to(self.device), calls)

        return self.keep_targets(block, calls, make, owner)

    def keep_targets(
        self, block: NoiseSet, calls: int, make: Callable[[], torch.Tensor], owner: str = ""
    ) -> tuple[torch.Tensor, bool]:
        """The teacher's samples of noises of one piece: those that are there, else what ``make`` returns, which is left
        there; and whether ``owner`` made them."""
        key = f"{block}/{calls}/{teacher.schedule(self.denoiser.process, calls).digest}"
        tensors, owned = self.shared("teacher", key, lambda: {"ends": make()}, owner)
        return tensors["ends"], owned

    def shared(
        self, kind: str, key: str, make: Callable[[], dict[str, torch.Tensor]], owner: str
    ) -> tuple[dict[str, torch.Tensor], bool]:
        """Tensors that are there already, in memory or in the cache folder, else what ``make`` returns, which is left
        there under the name of ``owner``; and whether it is the owner's."""
        if self.cache is None:
            kept = self._made.get(f"{kind}/{key}")
            if kept is None:
                kept = CacheEntry({name: tensor.cpu() for name, tensor in make().items()}, owner)
                self._made.put(f"{kind}/{key}", kept)
            return kept.tensors, kept.owner == owner
        path = self._path(kind, key)
        kept = load(path)
        if kept is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):  # of searches side by side one makes it and the others wait
                kept = load(path)
                if kept is None:
                    kept = CacheEntry(make(), owner)
                    save(path, kept)
        return kept.tensors, kept.owner == owner

    def cached(self, kind: str, key: str, make: Callable[[], dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Tensors from the cache folder; where they are not there, what ``make`` returns, which is left there."""
        return make() if self.cache is None else self.shared(kind, key, make, "")[0]

    def _path(self, kind: str, key: str) -> Path:
        name = hashlib.sha256(f"{self.identity}/{self.shape}/{key}".encode()).hexdigest()
        return (self.cache or Path()) / f"{kind}-{name}.safetensors"


def teach(evaluator: Evaluator, noises: NoiseSet, calls: int) -> np.ndarray:
    """The teacher's samples of the noises (n, *shape), float32."""
    targets: np.ndarray = evaluator.pairs(noises, calls)[1].cpu().numpy()
    return targets


def teach_for(evaluator: Evaluator, owner: str, noises: NoiseSet, calls: int) -> int:
    """Prepare the teacher's samples of the noises; returns the calls that ``owner`` has to pay for them.

    Raises `SearchFailed` where they are not finite.
    """
    paid = 0
    for block in noises.blocks(evaluator.block):
        ends, owned = evaluator.ends(block, calls, owner)
        if not ends.isfinite().all():
            raise _diverged(calls)
        paid += block.count * calls if owned else 0
    return paid


def convergence(evaluator: Evaluator, owner: str, noises: NoiseSet, count: int) -> tuple[float, int]:
    """The teacher's own typical distance to convergence, against twice the calls on the first ``count`` noises, and the
    calls that ``owner`` has to pay for it."""
    few = replace(noises, count=count)
    paid = teach_for(evaluator, owner, few, 2 * teacher.CALLS)
    fine = evaluator.pairs(few, 2 * teacher.CALLS)[1]
    errors = squared_distances(evaluator.picked(noises, range(count), teacher.CALLS)[1], fine)
    return Typical().value(errors[:, None]), paid


def _diverged(calls: int) -> SearchFailed:
    return SearchFailed(f"the model's own samples after {calls} calls are not finite: check its weights")


def follow(evaluator: Evaluator, noises: NoiseSet) -> Trajectories:
    """The teacher's stored trajectories of the noises; its samples of them are remembered too."""
    return follow_for(evaluator, "", noises)[0]


def follow_for(
    evaluator: Evaluator, owner: str, noises: NoiseSet, parts: Sequence[NoiseSet] = ()
) -> tuple[Trajectories, int]:
    """The teacher's stored trajectories of the noises, and the calls that ``owner`` has to pay for them; its samples of
    them and of ``parts`` are remembered too. It works piece by piece, and what it has done is not done again."""
    blocks = noises.blocks(evaluator.block)
    followed = [_follow_block(evaluator, owner, block, parts) for block in blocks]
    paid = sum(block.count * (teacher.CALLS + 1) for block, (_, owned) in zip(blocks, followed, strict=True) if owned)
    return together([trajectories for trajectories, _ in followed]), paid


def _follow_block(
    evaluator: Evaluator, owner: str, block: NoiseSet, parts: Sequence[NoiseSet]
) -> tuple[Trajectories, bool]:
    process = evaluator.denoiser.process
    key = f"{block}/{teacher.CALLS}/{teacher.schedule(process, teacher.CALLS).digest}"

    def make() -> dict[str, torch.Tensor]:
        noise = block.draw(evaluator.shape).to(evaluator.device)
        try:
            trajectories, ends = teacher.trace(evaluator.under(block), noise)
        except InvalidInput as error:  # trajectories are finite
            raise _diverged(teacher.CALLS) from error
        evaluator.keep_targets(block, teacher.CALLS, lambda: ends, owner)
        return {name: torch.from_numpy(getattr(trajectories, name)) for name in ("log_snrs", "states", "outputs")}

    tensors, owned = evaluator.shared("trajectories", key, make, owner)
    for part in filter(None, map(block.common, parts)):
        if part != block:
            evaluator.keep_targets(part, teacher.CALLS, partial(_targets_of, evaluator, block, part))
    stored = (tensors[name].numpy() for name in ("log_snrs", "states", "outputs"))
    return Trajectories(process, *stored), owned


def _targets_of(evaluator: Evaluator, block: NoiseSet, part: NoiseSet) -> torch.Tensor:
    first = part.first - block.first
    return evaluator.ends(block, teacher.CALLS)[0][first : first + part.count]


def together(parts: Sequence[Trajectories]) -> Trajectories:
    """The trajectories of several sets of noises in one, in their order."""
    states, outputs = (np.concatenate([getattr(part, name) for part in parts], 1) for name in ("states", "outputs"))
    return replace(parts[0], states=states, outputs=outputs)


def block_of(evaluator: Evaluator) -> int:
    """Noises that the teacher works on in one piece."""
    return evaluator.block


def facts(evaluator: Evaluator, noises: NoiseSet) -> tuple[int, float]:
    """How many numbers a sample has, and the mean variance of each over the teacher's samples of the noises."""
    size = prod(evaluator.shape)
    if size == 1:
        return size, 0.0
    blocks = noises.blocks(evaluator.block)
    sums = [block.count * pixel_variance(evaluator.ends(block, teacher.CALLS)[0].cpu()) for block in blocks]
    return size, sum(sums) / noises.count


def measure(evaluator: Evaluator, noises: NoiseSet, schedule: Schedule) -> np.ndarray:
    """Squared errors (n,) of a schedule; not finite where it diverges. Costs n·nfe sample-calls."""
    return observe(evaluator, noises, schedule, [Objective("rms")])[0][:, 0]


def observe(
    evaluator: Evaluator, noises: NoiseSet, schedule: Schedule, objectives: Sequence[Objective]
) -> list[np.ndarray]:
    """For each objective, the observations (n, F) of a schedule's samples; not finite where it diverges.

    Costs n·nfe sample-calls.
    """
    targets = evaluator.pairs(noises, teacher.CALLS)[1]
    samples = evaluator.samples(schedule, noises)
    return [bounded(evaluator.metric(each).observe(samples, targets)) for each in objectives]


def metrics_of(evaluator: Evaluator, objectives: Sequence[Objective]) -> list[Metric]:
    """The metrics of objectives, for whoever compares what workers observe.

    They load no networks of features, and data sets on the CPU when a value is first asked for.
    """
    return [metrics.of(each, evaluator.metrics) for each in objectives]


def count_passes(evaluator: Evaluator) -> int:
    """How often a call of the model passes its network."""
    return evaluator.denoiser.passes
