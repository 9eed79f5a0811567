"""What a search will cost, by arithmetic alone: before it begins, and at the door of the service."""

import math
from dataclasses import dataclass
from typing import Annotated

from fewstep.errors import InvalidInput
from fewstep.values.fields import About
from fewstep.values.problem import Problem

__all__ = [
    "BASELINES",
    "BATCH",
    "COMPARED",
    "SPANNED",
    "LAST",
    "LAST_BASELINES",
    "TEACHER_CALLS",
    "TRIALS",
    "CostCard",
    "check_limit",
    "calls_of_test",
    "cost_card",
    "selection_calls",
    "smallest",
    "teacher_calls",
]

TEACHER_CALLS = 48  # of the converged solver, for each sample
BATCH = 8  # trials of a generation; fixed, so that results do not depend on the number of workers
TRIALS, BASELINES = 2, 3  # finalists of the selection that no final stage made
LAST, LAST_BASELINES = 3, 2  # finalists that meet on all validation noises; the best baselines do in any case
SPANNED = 16  # test noises of which the out-of-span share is measured
COMPARED = 8  # test noises on which the teacher is compared with twice its calls


@dataclass(frozen=True)
class CostCard:
    """The cost of a search: the most ``search_calls``, the ``test_calls`` beside them, both in network ``passes`` and
    at the measured ``seconds``; ``smallest_limit`` is the lowest limit of search calls that it can be run within."""

    search_calls: Annotated[int, About("Network calls of the search, at most")]
    test_calls: Annotated[int, About("Network calls of the test on unseen noises")]
    passes: Annotated[int, About("Passes of the network, search and test")]
    seconds: Annotated[float | None, About("At the measured speed of a call, on one slot", unit="s")]
    smallest_limit: Annotated[int, About("The lowest limit of search calls that can be met")]


def teacher_calls(problem: Problem) -> int:
    """Of the teacher: trajectories of the training noises, targets of the validation noises."""
    return problem.train_noises * (TEACHER_CALLS + 1) + problem.validation_noises * TEACHER_CALLS


def selection_calls(problem: Problem) -> int:
    """The most of the selection, without finalists of the final stages; nothing without validation noises."""
    starts, pieces = problem.sizes.starts, problem.validation_pieces
    finalists = TRIALS + BASELINES + (TRIALS + starts if starts else 0)  # with cross-fitted and polished ones
    return (finalists * sum(pieces[:1]) + (LAST + LAST_BASELINES) * sum(pieces[1:])) * problem.nfe


def calls_of_test(problem: Problem) -> int:
    """Of the test: its targets, the teacher's own error, winner and baseline, the out-of-span share of the winner."""
    count = problem.test_noises
    return (
        count * TEACHER_CALLS
        + min(COMPARED, count) * 2 * TEACHER_CALLS
        + (2 * count + min(SPANNED, count)) * problem.nfe
    )


def smallest(problem: Problem) -> int:
    """The lowest limit of search calls: teacher, first trials and selection."""
    most = problem.sizes.baselines or BATCH
    return teacher_calls(problem) + min(most, problem.budget) * problem.noises * problem.nfe + selection_calls(problem)


def check_limit(problem: Problem) -> None:
    """Raise `InvalidInput` where the limit of calls has no room for what nothing can be done without."""
    most, least = problem.limits.calls, smallest(problem)
    if most is not None and most < least:
        raise InvalidInput(
            f"teacher, first trials and selection on {problem.noises} noises cost {least:,} network calls, and "
            f"{most:,} are allowed: allow more, or take fewer noises"
        )


def cost_card(problem: Problem, passes_per_call: int = 1, seconds_per_call: float | None = None) -> CostCard:
    """The cost of a search of a model whose calls take so many passes and seconds; raises as `check_limit`.

    >>> cost_card(Problem("a", 8, effort="quick")).search_calls
    3000
    """
    check_limit(problem)
    trials = problem.budget * problem.noises * problem.nfe
    unlimited = teacher_calls(problem) + trials + MOST_FINAL + selection_calls(problem)
    search = int(min(problem.limits.calls or math.inf, unlimited))
    test = calls_of_test(problem)
    seconds = None if seconds_per_call is None else (search + test) * seconds_per_call
    return CostCard(search, test, (search + test) * passes_per_call, seconds, smallest(problem))


MOST_FINAL = 60_000  # calls of the final stages of a search without a limit, about
