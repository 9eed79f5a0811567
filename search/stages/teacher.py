"""The first phase of a search: the teacher takes every noise to its end, and some of them are followed on the way.

| role | noises | what for |
|---|---|---|
| search | n, in two pieces | trials: the first piece says whether the second is worth its calls |
| search, followed | 4 n, of which the first n are those | replay, fit, polish |
| validation | 2 n | the choice among finalists |
| held-out | 8 n | what is published |
"""

from collections.abc import Callable
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from fewstep.errors import SearchFailed
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.noises import HELD_OUT, SEARCH, VALIDATION, NoiseSet, joined
from fewstep.search.evaluation.pool import Pool
from fewstep.search.metrics import endpoint, spaces
from fewstep.search.metrics.base import Metric
from fewstep.timeshift import pixel_variance
from fewstep.trajectory import Trajectories
from fewstep.values.problem import Problem

__all__ = ["FEWEST", "FOLLOWED", "Sets", "Teaching", "cost", "teach"]

CHUNK = 128  # noises of one task
FOLLOWED, CHOOSING, FINAL = 4, 2, 8  # sizes of the sets, in units of the problem's noises
SHARE, FEWEST = 4, 8  # the first piece is a quarter, where that is enough to tell anything


@dataclass(frozen=True)
class Sets:
    """The noises of a search, by role, in pieces of one task each."""

    search: tuple[NoiseSet, ...]
    followed: NoiseSet
    validation: tuple[NoiseSet, ...]
    held_out: tuple[NoiseSet, ...]

    @classmethod
    def of(cls, problem: Problem) -> "Sets":
        """Those of a problem.

        >>> [piece.count for piece in Sets.of(Problem("a", 8)).search]
        [16, 48]
        """
        n, chunk = problem.noises, max(CHUNK, problem.noises)
        few = n // SHARE if n // SHARE >= FEWEST else 0
        search = NoiseSet(problem.seed, SEARCH, n).split(few, n - few)
        validation = NoiseSet(problem.seed, VALIDATION, CHOOSING * n).split(n // 2, CHOOSING * n - n // 2)
        held_out = NoiseSet(problem.seed, HELD_OUT, FINAL * n).chunks(chunk)
        return cls(search, NoiseSet(problem.seed, SEARCH, FOLLOWED * n), validation, tuple(held_out))


class Teaching(NamedTuple):
    """What the teacher gave: trajectories for replay, its own distance to convergence, the calls it cost, how often a
    call passes the network; how many numbers a sample has, and the mean variance over those of a clean one, 0 for
    samples of one number; the metrics of the problem, what it lowers first."""

    followed: Trajectories
    error: float
    calls: int
    passes: int
    size: int
    variance: float
    metrics: list[Metric]


def cost(sets: Sets) -> int:
    """Sample-calls of `teach`."""
    ended = joined(sets.validation).count + joined(sets.held_out).count
    twice = sets.search[0].count
    return ended * teacher.CALLS + sets.followed.count * (teacher.CALLS + 1) + twice * 2 * teacher.CALLS


def teach(pool: Pool, problem: Problem, sets: Sets, progress: Callable[[str, int, int], None]) -> Teaching:
    """Have the teacher's ends made for every noise, and measure their error on some, where it has twice the calls."""
    paths = pool.submit(evaluate.follow, sets.followed, sets.search)
    choosing = pool.submit(evaluate.teach, joined(sets.validation), teacher.CALLS, sets.validation)
    finals = [pool.submit(evaluate.teach, chunk, teacher.CALLS) for chunk in sets.held_out]
    twice = pool.submit(evaluate.teach, sets.search[0], 2 * teacher.CALLS)
    waited: list[Future[Any]] = [choosing, *finals, twice, paths]
    for i, _ in enumerate(as_completed(waited)):
        progress("teacher", i + 1, len(waited))
    clean = choosing.result()
    if not np.all(np.isfinite(clean)):
        raise SearchFailed(f"the model's own samples after {teacher.CALLS} calls are not finite: check its weights")
    followed = paths.result()
    ends = pool.submit(evaluate.teach, sets.search[0], teacher.CALLS).result()  # made already
    return Teaching(
        followed,
        endpoint.score(endpoint.squared_errors(ends, twice.result()), 0).value,
        cost(sets),
        pool.submit(evaluate.count_passes).result(),
        clean[0].size,
        pixel_variance(torch.from_numpy(clean)) if clean[0].size > 1 else 0.0,
        [spaces.judging(measure, pool.metrics) for measure in problem.measures],
    )
