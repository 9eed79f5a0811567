"""`compare`: schedules side by side on the same noises, in distance to the teacher, passes and seconds.

    comparison = fewstep.compare(denoiser, {"now": "now@20", "found": schedule})
    comparison.write_html(Path("compare.html"))

Every schedule starts from the same noises under the same conditions, so differences are paired: the interval of a ratio
is that of the ratio, not of two errors.
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import fewstep
from fewstep.diffusers.capture.denoiser import PipelineDenoiser
from fewstep.errors import InvalidInput
from fewstep.models import Denoiser
from fewstep.sampling.guidance import passes_per_sample
from fewstep.schedule import Schedule, compile
from fewstep.search import metrics
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.metrics.base import bounded, value_of
from fewstep.search.metrics.bootstrap import interval, ratio_interval
from fewstep.tuning import sheet
from fewstep.values.codec import encode
from fewstep.values.cost_card import TEACHER_CALLS
from fewstep.values.objective import Objective
from fewstep.values.score import Interval

__all__ = ["ComparisonRow", "Comparison", "compare"]

ROLE = "comparison"  # of its noises, which no search uses
NOW = re.compile(r"now(?:@(\d+))?")
TYPICAL, DISTANCE = Objective("typical"), Objective("wasserstein")


@dataclass(frozen=True)
class ComparisonRow:
    """One schedule of a comparison: ``calls`` and ``passes`` of a sample, ``seconds`` of the whole set, the typical
    error and the distance between the sets of samples; ``ratio`` is its typical error over the first schedule's. Each
    number has its 95 % interval."""

    name: str
    calls: int
    passes: int
    seconds: float
    typical: float
    typical_interval: Interval
    distance: float
    distance_interval: Interval
    ratio: float
    ratio_interval: Interval


@dataclass(frozen=True)
class Comparison:
    """Schedules on ``noises`` shared noises; ``distance`` names the metric of sets. ``pictures`` are those of the first
    few samples by schedule, "teacher" first, each (H, W, 3) uint8; none where samples are no pictures."""

    schedules: tuple[ComparisonRow, ...]
    noises: int
    seed: int
    distance: str
    pictures: Mapping[str, list[np.ndarray]]

    def to_json(self) -> str:
        """The numbers, as JSON."""
        content = {"noises": self.noises, "seed": self.seed, "distance": self.distance}
        return json.dumps(content | {"schedules": [encode(each) for each in self.schedules]}, indent=2)

    def write_html(self, path: Path) -> None:
        """A page of its own: a table, then samples and differences."""
        path.write_text(sheet.comparison(self.schedules, self.noises, self.distance, self.pictures))


def compare(
    denoiser: Denoiser,
    schedules: Mapping[str, Schedule | str],
    shape: tuple[int, ...] | None = None,
    *,
    noises: int = 32,
    seed: int = 0,
    pictures: int = 4,
    device: str = "cpu",
    distance: str = "wasserstein",
) -> Comparison:
    """Compare schedules by name on the same ``noises``; the first one is what ratios refer to.

    In the place of a schedule "now" stands for what a captured pipeline runs by itself, "now@20" for its own scheduler
    with 20 steps. ``shape`` is that of one sample, which a captured pipeline knows; ``distance`` a metric of sets
    (`fewstep.values.objective`); ``pictures`` is how many samples are shown. Costs ``noises`` times the teacher's calls
    and those of the schedules.

    Raises `InvalidInput` for schedules on another process, and for "now" without a pipeline.

    >>> from fewstep import models, solvers
    >>> denoiser = models.zoo.load("digits-mixture")
    >>> plans = {name: solvers.named(name).schedule(denoiser.process, nfe=5) for name in ("ddim", "dpmpp-2m")}
    >>> rows = compare(denoiser, plans, (1, 8, 8), noises=8).schedules
    >>> rows[0].ratio, rows[1].ratio < 1
    (1.0, True)
    """
    if not schedules:
        raise InvalidInput("give at least one schedule to compare, by name")
    if isinstance(denoiser, PipelineDenoiser):
        shape, device = denoiser.shape, str(denoiser.view._execution_device)
    if shape is None:
        raise InvalidInput("shape is that of one sample, for instance (1, 8, 8): only pipelines know it themselves")
    plans = {name: _schedule(denoiser, plan) for name, plan in schedules.items()}
    evaluator, drawn = Evaluator(denoiser, shape, device=device), NoiseSet(seed, ROLE, noises)
    noise, targets = evaluator.pairs(drawn, TEACHER_CALLS)
    by_typical, by_set = metrics.of(TYPICAL), metrics.of(Objective.parse(distance), device=device)
    rows, shown = list[ComparisonRow](), {"teacher": targets[:pictures]}
    first: np.ndarray | None = None
    for name, plan in plans.items():
        began = time.perf_counter()
        generators = [torch.Generator(device).manual_seed(i) for i in range(noises)]
        samples = fewstep.sample(evaluator.under(drawn), plan, noise, generators if _stochastic(plan) else None)
        seconds = time.perf_counter() - began
        errors, sets = (bounded(metric.observe(samples, targets)) for metric in (by_typical, by_set))
        first = errors if first is None else first
        rows.append(
            ComparisonRow(
                name,
                plan.nfe,
                passes_per_sample(denoiser, plan),
                seconds,
                value_of(by_typical, errors),
                Interval(*interval(by_typical, errors, seed)),
                value_of(by_set, sets),
                Interval(*interval(by_set, sets, seed, accelerated=False)),
                value_of(by_typical, errors) / value_of(by_typical, first),
                Interval(*ratio_interval(by_typical, errors, first, seed)),
            )
        )
        shown[name] = samples[:pictures]
    made = {name: sheet.pictures(denoiser, samples) for name, samples in shown.items()}
    return Comparison(tuple(rows), noises, seed, distance, made if all(made.values()) else {})


def _schedule(denoiser: Denoiser, plan: Schedule | str) -> Schedule:
    if isinstance(plan, Schedule):
        return plan
    now = NOW.fullmatch(plan)
    if now is None:
        raise InvalidInput(f'a schedule is a Schedule, "now" or "now@20", got {plan[:40]!r}')
    if not isinstance(denoiser, PipelineDenoiser):
        raise InvalidInput(f"{plan!r} is what a pipeline runs: make the denoiser by fewstep.diffusers.from_pipeline")
    from fewstep.diffusers.capture.own import own_schedule  # takes diffusers

    return own_schedule(denoiser, int(now[1]) if now[1] else None)


def _stochastic(plan: Schedule) -> bool:
    return bool(compile(plan).noise.shape[1])
