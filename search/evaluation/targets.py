"""Teacher targets: where every noise of a search ends under the converged solver, and some of them on the way."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from typing import Any

from fewstep.search.evaluation import evaluator, teacher
from fewstep.search.evaluation.noises import NoiseSet, NoiseSplit
from fewstep.search.evaluation.pool import Pool
from fewstep.trajectory import Trajectories

__all__ = ["Teacher", "prepare_teacher", "prepare_test"]


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
    """Have the targets made for the noises of the search, piece by piece; those of the test follow when it begins.

    Raises `SearchFailed` where the model's samples are not finite.
    """
    size = pool.submit(evaluator.block_of).result()
    paths = [pool.submit(evaluator.follow_for, owner, block, split.search) for block in split.train.blocks(size)]
    validation = _taught(pool, split.validation, owner, size)
    tasks: list[Future[Any]] = [*paths, *validation]
    for i, _ in enumerate(as_completed(tasks)):
        progress("teacher", i + 1, len(tasks))
    parts, followed = zip(*(future.result() for future in paths), strict=True)
    judged = sum(future.result() for future in validation)
    numbers, variance = pool.submit(evaluator.facts, split.train).result()
    return Teacher(
        trajectories=evaluator.together(parts),
        calls=sum(followed) + judged,
        passes=pool.submit(evaluator.count_passes).result(),
        size=numbers,
        variance=variance,
    )


def prepare_test(pool: Pool, parts: Sequence[NoiseSet], owner: str) -> int:
    """Have the targets of test noises made; returns the calls to pay for. Raises `SearchFailed`."""
    futures = _taught(pool, parts, owner, pool.submit(evaluator.block_of).result())
    return sum(future.result() for future in futures)


def _taught(pool: Pool, parts: Sequence[NoiseSet], owner: str, size: int) -> list[Future[int]]:
    blocks = [block for part in parts for block in part.blocks(size)]
    return [pool.submit(evaluator.teach_for, owner, block, teacher.CALLS) for block in blocks]
