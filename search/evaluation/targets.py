"""Teacher targets: where every noise of a search ends under the converged solver, and some of them on the way."""

from collections.abc import Callable
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fewstep.errors import SearchFailed
from fewstep.search.evaluation import evaluator, teacher
from fewstep.search.evaluation.noises import NoiseSplit, joined
from fewstep.search.evaluation.pool import Pool
from fewstep.search.metrics.endpoint import Endpoint, squared_errors
from fewstep.timeshift import pixel_variance
from fewstep.trajectory import Trajectories

__all__ = ["Teacher", "prepare_teacher", "teacher_cost"]


@dataclass(frozen=True, eq=False)
class Teacher:
    """What the teacher gave a search.

    ``trajectories`` of the training noises · ``error``, its own distance to convergence · network ``calls`` it took ·
    network ``passes`` of a call · ``size``, how many numbers a sample has · ``variance``, the mean variance over those
    of a clean sample, 0 for samples of one number.
    """

    trajectories: Trajectories
    error: float
    calls: int
    passes: int
    size: int
    variance: float


def teacher_cost(split: NoiseSplit) -> int:
    """Network calls of `prepare_teacher`."""
    judged = joined(split.validation).count + joined(split.test).count
    followed = split.train.count * (teacher.CALLS + 1)
    twice = split.search[0].count * 2 * teacher.CALLS
    return judged * teacher.CALLS + followed + twice


def prepare_teacher(pool: Pool, split: NoiseSplit, progress: Callable[[str, int, int], None]) -> Teacher:
    """Have the targets made for every noise, and measure their error on some against twice the calls.

    Raises `SearchFailed` where the model's samples are not finite.
    """
    paths = pool.submit(evaluator.follow, split.train, split.search)
    validation = pool.submit(evaluator.teach, joined(split.validation), teacher.CALLS, split.validation)
    test = [pool.submit(evaluator.teach, chunk, teacher.CALLS) for chunk in split.test]
    twice = pool.submit(evaluator.teach, split.search[0], 2 * teacher.CALLS)
    tasks: list[Future[Any]] = [validation, *test, twice, paths]
    for i, _ in enumerate(as_completed(tasks)):
        progress("teacher", i + 1, len(tasks))
    clean = validation.result()
    if not np.all(np.isfinite(clean)):
        raise SearchFailed(f"the model's own samples after {teacher.CALLS} calls are not finite: check its weights")
    trajectories = paths.result()
    targets = pool.submit(evaluator.teach, split.search[0], teacher.CALLS).result()  # made with the trajectories
    return Teacher(
        trajectories=trajectories,
        error=Endpoint().value(squared_errors(targets, twice.result())[:, None]),
        calls=teacher_cost(split),
        passes=pool.submit(evaluator.count_passes).result(),
        size=clean[0].size,
        variance=pixel_variance(torch.from_numpy(clean)) if clean[0].size > 1 else 0.0,
    )
