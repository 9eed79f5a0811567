"""Several schedules in one task: their states fill the network's batches side by side."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch

from fewstep import Schedule
from fewstep.sampling.side_by_side import sample_all, shared_calls, together
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.microbatch import default_batch
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.metrics.base import bounded
from fewstep.values.objective import Objective

__all__ = ["observe_all", "of_samples"]

T = TypeVar("T")
SAMPLES = 256  # in one call: a small U-Net on a CPU is fastest there


def observe_all(
    evaluator: Evaluator, noises: NoiseSet, schedules: Sequence[Schedule], objectives: Sequence[Objective]
) -> tuple[list[list[np.ndarray]], int]:
    """For each schedule what `fewstep.search.evaluation.evaluator.observe` returns, to rounding; and how many network
    calls were saved."""
    targets = evaluator.pairs(noises, teacher.CALLS)[1]
    metrics = [evaluator.metric(objective) for objective in objectives]

    def observed(samples: torch.Tensor) -> list[np.ndarray]:
        return [bounded(metric.observe(samples, targets)) for metric in metrics]

    return of_samples(evaluator, schedules, noises, range(noises.count), observed)


def of_samples(
    evaluator: Evaluator,
    schedules: Sequence[Schedule],
    noises: NoiseSet,
    picks: Sequence[int],
    function: Callable[[torch.Tensor], T],
) -> tuple[list[T], int]:
    """What ``function`` makes of the samples (n, *shape) of each schedule, of some of the noises; and how many network
    calls were saved: the first output that schedules share is computed once.

    As many run side by side as there is room for in a call, by their order and number alone.
    """
    saved = 0
    found: dict[int, T] = {}
    room = min(SAMPLES, evaluator.batch or default_batch(evaluator.shape)) // len(picks)
    able = [i for i, schedule in enumerate(schedules) if room > 1 and together(schedule)]
    for nfe in dict.fromkeys(schedules[i].nfe for i in able):
        same = [i for i in able if schedules[i].nfe == nfe]
        for group in (same[first : first + room] for first in range(0, len(same), room)):
            chosen = [schedules[i] for i in group]
            found |= zip(group, map(function, _samples(evaluator, chosen, noises, picks)), strict=True)
            saved += len(picks) * shared_calls(chosen)
    for i, schedule in enumerate(schedules):
        if i not in found:
            found[i] = function(evaluator.samples(schedule, noises, picks))
    return [found[i] for i in range(len(schedules))], saved


def _samples(
    evaluator: Evaluator, schedules: Sequence[Schedule], noises: NoiseSet, picks: Sequence[int]
) -> list[torch.Tensor]:
    noise = evaluator.picked(noises, picks, teacher.CALLS)[0]
    return sample_all(lambda copies: evaluator.under(noises, list(picks) * copies), schedules, noise)
