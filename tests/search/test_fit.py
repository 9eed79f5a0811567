"""The closed-form fit: exact where exactness is possible, better on unseen noise where it is not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import fewstep
from fewstep import models, processes, solvers
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation.noises import SEARCH, TEST, NoiseSet
from fewstep.search.optimize.fit import STRENGTHS, fit


def test_an_isotropic_gaussian_is_solved_exactly_in_one_call() -> None:
    """Where the flow is one linear map, a fitted row is that map: the error vanishes on unseen noise."""
    process = processes.VPLinear()
    model = models.Gaussian(process, torch.zeros(5), 0.25 * torch.eye(5))
    evaluator = evaluate.Evaluator(model, (5,))
    seen, unseen = NoiseSet(0, SEARCH, 30), NoiseSet(0, TEST, 30)
    schedule = solvers.named("ddim").schedule(process, 1, "logsnr")
    fitted = fit(evaluator, seen, evaluate.follow(evaluator, seen), schedule).schedule
    assert np.sqrt(evaluate.measure(evaluator, unseen, schedule).mean()) > 0.1
    assert np.sqrt(evaluate.measure(evaluator, unseen, fitted).mean()) < 1e-4


def test_fit_lowers_the_error_on_unseen_noise(blobs: models.GaussianMixture) -> None:
    """On a mixture the fitted rows at least halve the error of the rows they started from."""
    evaluator = evaluate.Evaluator(blobs, (4,))
    seen, unseen = NoiseSet(0, SEARCH, 200), NoiseSet(0, TEST, 200)
    schedule = solvers.named("dpmpp-2m").schedule(blobs.process, 4, "quadratic")
    fitted = fit(evaluator, seen, evaluate.follow(evaluator, seen), schedule).schedule
    before, after = (evaluate.measure(evaluator, unseen, s).mean() for s in (schedule, fitted))
    assert np.sqrt(after / before) < 0.5
    assert fitted.steps == schedule.steps
    assert fewstep.Schedule.from_json(fitted.to_json()) == fitted


def test_a_strong_ridge_keeps_the_compiled_rows(blobs: models.GaussianMixture) -> None:
    """With an overwhelming pull nothing changes."""
    evaluator, seen = evaluate.Evaluator(blobs, (4,)), NoiseSet(0, SEARCH, 30)
    schedule = solvers.named("dpmpp-2m").schedule(blobs.process, 4, "logsnr")
    fitted = fit(evaluator, seen, evaluate.follow(evaluator, seen), schedule, strengths=(1e12,)).schedule
    assert fewstep.compile(fitted).close_to(fewstep.compile(schedule), tolerance=1e-8)


def test_rows_that_do_not_pay_on_noises_left_out_stay_compiled() -> None:
    """Where targets are nothing but noise round an exact solver, no ridge explains those left out: the rows stay."""
    process = processes.VPLinear()
    model = models.from_callable(lambda x, t: 0 * x, process, prediction="data")
    evaluator, seen = evaluate.Evaluator(model, (3,)), NoiseSet(0, SEARCH, 12)
    schedule = solvers.named("ddim").schedule(process, 3, "logsnr")
    followed = evaluate.follow(evaluator, seen)
    kicks = np.random.default_rng(1).normal(0, 0.1, followed.states.shape)
    starts = followed.states[:1]
    kicks -= starts * (kicks * starts).sum((1, 2), keepdims=True) / (starts**2).sum()  # nothing that y_0 explains
    fitted = fit(evaluator, seen, replace(followed, states=followed.states + kicks), schedule, strengths=(1e-12,))
    assert np.all(np.isinf(fitted.strengths))
    assert fewstep.compile(fitted.schedule).close_to(fewstep.compile(schedule))


def test_strengths_are_chosen_from_those_given_and_conditions_are_reported(blobs: models.GaussianMixture) -> None:
    """Each row says which ridge it took and how near its normal equations are to singular, without a network call."""
    calls = 0

    def count(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += len(x)
        return blobs(x, t)

    evaluator, seen = (
        evaluate.Evaluator(models.from_callable(count, blobs.process, "data"), (4,)),
        NoiseSet(0, SEARCH, 50),
    )
    followed, schedule = evaluate.follow(evaluator, seen), solvers.named("dpmpp-2m").schedule(blobs.process, 4)
    calls = 0
    fitted = fit(evaluator, seen, followed, schedule)
    assert calls == 4 * 50
    assert len(fitted.strengths) == 4
    assert set(fitted.strengths) <= {*STRENGTHS, np.inf}


def test_a_path_that_diverges_is_told_by_its_rows(blobs: models.GaussianMixture) -> None:
    """From the call on that gives nothing finite, rows stay compiled; calls go on."""
    broken = models.from_callable(
        lambda x, t: torch.where(t[:, None] < 0.5, torch.nan, blobs(x, t)), blobs.process, "data"
    )
    seen = NoiseSet(0, SEARCH, 20)
    followed = evaluate.follow(evaluate.Evaluator(blobs, (4,)), seen)
    schedule = solvers.named("dpmpp-2m").schedule(blobs.process, 4, "time")
    fitted = fit(evaluate.Evaluator(broken, (4,)), seen, followed, schedule)
    late = np.array(fewstep.compile(schedule).network_times) < 0.5
    assert np.array_equal(np.isinf(fitted.strengths), late)
    assert fewstep.compile(fitted.schedule).outputs[late] == pytest.approx(fewstep.compile(schedule).outputs[late])
