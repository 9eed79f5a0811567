"""Teacher targets: where every noise of a search ends under the converged solver, and some of them on the way."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fewstep.errors import InvalidInput, InvalidModel, SearchFailed
from fewstep.search.evaluation import evaluator, teacher
from fewstep.search.evaluation.noises import NoiseSet, NoiseSplit
from fewstep.search.evaluation.pool import Pool
from fewstep.search.metrics.paired import Typical, squared_errors
from fewstep.trajectory import Trajectories
from fewstep.values.cost_card import COMPARED

__all__ = ["Teacher", "prepare_teacher", "prepare_test", "teacher_error"]


@dataclass(frozen=True, eq=False)
class Teacher:
    """What the teacher gave a search.

    ``trajectories`` of the training noises · network ``calls`` that were made for it, nothing for what an earlier
    search left behind · network ``passes`` of a call · ``size``, how many numbers a sample has · ``variance``, the mean
    variance over those of a clean sample, 0 for samples of one number.
    """

    trajectories: Trajectories
    calls: int
    passes: int
    size: int
    variance: float


def prepare_teacher(pool: Pool, split: NoiseSplit, owner: str, progress: Callable[[str, int, int], None]) -> Teacher:
    """Have the targets made for the noises of the search; those of the test follow when it begins.

    Raises `SearchFailed` where the model's samples are not finite.
    """
    paths = pool.submit(evaluator.follow_for, owner, split.train, split.search)
    validation = [pool.submit(evaluator.teach_for, owner, part, teacher.CALLS) for part in split.validation]
    tasks: list[Future[Any]] = [*validation, paths]
    for i, _ in enumerate(as_completed(tasks)):
        progress("teacher", i + 1, len(tasks))
    try:
        trajectories, followed = paths.result()
    except InvalidModel:  # it cannot even be opened
        raise
    except InvalidInput as error:
        raise _diverged() from error
    results = [future.result() for future in validation]
    if not all(np.all(np.isfinite(targets)) for targets, _ in results):
        raise _diverged()
    size, variance = pool.submit(evaluator.facts, split.train).result()
    return Teacher(
        trajectories=trajectories,
        calls=followed + sum(calls for _, calls in results),
        passes=pool.submit(evaluator.count_passes).result(),
        size=size,
        variance=variance,
    )


def _diverged() -> SearchFailed:
    return SearchFailed(f"the model's own samples after {teacher.CALLS} calls are not finite: check its weights")


def prepare_test(pool: Pool, parts: Sequence[NoiseSet], owner: str) -> int:
    """Have the targets of test noises made; returns the calls to pay for. Raises `SearchFailed`."""
    results = [
        future.result() for future in [pool.submit(evaluator.teach_for, owner, part, teacher.CALLS) for part in parts]
    ]
    if not all(np.all(np.isfinite(targets)) for targets, _ in results):
        raise _diverged()
    return sum(calls for _, calls in results)


def teacher_error(pool: Pool, split: NoiseSplit, owner: str) -> tuple[float, int]:
    """The teacher's own typical distance to convergence, against twice the calls on a few test noises, and the calls
    to pay for it."""
    few = _few(split)
    fine, calls = pool.submit(evaluator.teach_for, owner, few, 2 * teacher.CALLS).result()
    ends = pool.submit(evaluator.teach, split.test[0], teacher.CALLS).result()[: few.count]
    return Typical().value(squared_errors(ends, fine)[:, None]), calls


def _few(split: NoiseSplit) -> NoiseSet:
    return replace(split.test[0], count=min(COMPARED, split.test[0].count))
