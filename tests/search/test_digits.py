"""The point of it all, on real data: found schedules against every named solver, on noises nobody tuned on."""

import numpy as np
import pytest

from fewstep import Schedule
from fewstep.models import zoo
from fewstep.search.engine import run
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.metrics.paired import Typical
from fewstep.search.samplers.ranking import by_replay
from fewstep.search.stages.baselines import baselines
from fewstep.values.problem import Problem

JUDGE = NoiseSet(seed=77, role="judge", count=512)


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return Evaluator(zoo.load("digits-mixture"), zoo.describe("digits-mixture").shape)


def typical(evaluator: Evaluator, schedule: Schedule, noises: NoiseSet = JUDGE) -> float:
    return Typical().value(evaluate.measure(evaluator, noises, schedule)[:, None])


@pytest.mark.parametrize(("effort", "nfe", "share"), [("quick", 8, 0.6), ("standard", 5, 0.5), ("standard", 10, 0.5)])
def test_found_beats_the_best_named_solver(evaluator: Evaluator, effort: str, nfe: int, share: float) -> None:
    """At equal calls its typical error is at most so large a share of the lowest that any named solver reaches on any
    grid, with or without lower last orders, judged on 512 noises of another seed; the search's own ratio, of mean
    distances, agrees."""
    process = evaluator.denoiser.process
    problem = Problem("digits-mixture", nfe, effort=effort)
    result = run(problem, process, InlinePool(evaluator), by_replay)
    few = NoiseSet(JUDGE.seed, JUDGE.role, 48)
    named = sorted(baselines(process, nfe).values(), key=lambda schedule: typical(evaluator, schedule, few))
    best = min(typical(evaluator, schedule) for schedule in named[:12])  # the others are worse by far
    assert result.schedule.nfe == nfe
    assert typical(evaluator, result.schedule) <= share * best
    assert result.ratio < 0.75


def test_the_teacher_has_converged(evaluator: Evaluator) -> None:
    """Twice the calls move the teacher's ends by less than a hundredth of the smallest error published."""
    noises = NoiseSet(seed=77, role="judge", count=128)
    twice = evaluate.teach(evaluator, noises, 2 * teacher.CALLS)
    ends = evaluate.teach(evaluator, noises, teacher.CALLS)
    assert np.sqrt(np.mean((ends - twice) ** 2)) < 5e-4
