"""Observation of several schedules in one task: their states fill the network's batches side by side."""

from collections.abc import Sequence

import numpy as np

from fewstep import Schedule
from fewstep.sampling.side_by_side import sample_all, shared_calls, together
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.evaluator import Evaluator, observe
from fewstep.search.evaluation.microbatch import default_batch
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.metrics.base import bounded
from fewstep.values.objective import Objective

__all__ = ["observe_all"]

SAMPLES = 256  # in one call: a small U-Net on a CPU is fastest there


def observe_all(
    evaluator: Evaluator, noises: NoiseSet, schedules: Sequence[Schedule], objectives: Sequence[Objective]
) -> tuple[list[list[np.ndarray]], int]:
    """For each schedule what `fewstep.search.evaluation.evaluator.observe` returns, to rounding; and how many network
    calls were saved: the first output that schedules share is computed once.

    As many run side by side as there is room for in a call, by their order and number alone.
    """
    saved = 0
    found: dict[int, list[np.ndarray]] = {}
    room = min(SAMPLES, evaluator.batch or default_batch(evaluator.shape)) // noises.count
    able = [i for i, schedule in enumerate(schedules) if room > 1 and together(schedule)]
    for nfe in dict.fromkeys(schedules[i].nfe for i in able):
        same = [i for i in able if schedules[i].nfe == nfe]
        for group in (same[first : first + room] for first in range(0, len(same), room)):
            chosen = [schedules[i] for i in group]
            found |= zip(group, _observe(evaluator, noises, chosen, objectives), strict=True)
            saved += noises.count * shared_calls(chosen)
    rest = {i: observe(evaluator, noises, schedules[i], objectives) for i in range(len(schedules)) if i not in found}
    return [(found | rest)[i] for i in range(len(schedules))], saved


def _observe(
    evaluator: Evaluator, noises: NoiseSet, schedules: Sequence[Schedule], objectives: Sequence[Objective]
) -> list[list[np.ndarray]]:
    noise, targets = evaluator.pairs(noises, teacher.CALLS)
    samples = sample_all(lambda copies: evaluator.under(noises, [*range(noises.count)] * copies), schedules, noise)
    metrics = [evaluator.metric(objective) for objective in objectives]
    return [[bounded(metric.observe(each, targets)) for metric in metrics] for each in samples]
