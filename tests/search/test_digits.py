"""The point of it all, on real data: found schedules against every hand-made solver, on noises nobody tuned on."""

import numpy as np
import pytest

from fewstep import predictor
from fewstep.models import zoo
from fewstep.search.engine import run
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.stages.baselines import baselines
from fewstep.values.problem import Problem

JUDGE = NoiseSet(seed=77, role="judge", count=512)


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return Evaluator(zoo.load("digits-mixture"), zoo.describe("digits-mixture").shape)


def rmse(evaluator: Evaluator, schedule: object, noises: NoiseSet = JUDGE) -> float:
    return float(np.sqrt(evaluate.measure(evaluator, noises, schedule).mean()))  # type: ignore[arg-type]


@pytest.mark.parametrize(("nfe", "noises"), [(5, 128), (8, 128), (10, 256)])
def test_found_beats_the_best_hand_made_solver_by_a_quarter(evaluator: Evaluator, nfe: int, noises: int) -> None:
    """At equal calls the found schedule's error is at most 0.75 of the lowest that any named solver reaches on any
    grid, with or without lower last orders, judged on 512 noises of another seed; the search's own interval, on four
    times its noises that it never saw, agrees."""
    process = evaluator.denoiser.process
    problem = Problem("digits-mixture", nfe, budget=40, noises=noises)
    result = run(problem, process, InlinePool(evaluator), predictor.ranker)
    few = NoiseSet(JUDGE.seed, JUDGE.role, 48)
    by_hand = sorted(baselines(process, nfe).values(), key=lambda schedule: rmse(evaluator, schedule, few))
    best = min(rmse(evaluator, schedule) for schedule in by_hand[:24])  # the others are worse by far
    assert result.schedule.nfe == nfe
    assert rmse(evaluator, result.schedule) <= 0.75 * best
    assert result.ratio_interval.high < 0.85


def test_the_teacher_has_converged(evaluator: Evaluator) -> None:
    """Twice the calls move the teacher's ends by less than a hundredth of the smallest error published."""
    noises = NoiseSet(seed=77, role="judge", count=128)
    twice = evaluate.teach(evaluator, noises, 2 * teacher.CALLS)
    ends = evaluate.teach(evaluator, noises, teacher.CALLS)
    assert np.sqrt(np.mean((ends - twice) ** 2)) < 5e-4
