"""The closed-form fit: exact where exactness is possible, better on unseen noise where it is not."""

import numpy as np
import torch

import fewstep
from fewstep import models, processes, solvers
from search import evaluate
from search.fit import fit
from search.noises import HELD_OUT, SEARCH, NoiseSet


def test_an_isotropic_gaussian_is_solved_exactly_in_one_call() -> None:
    """Where the flow is one linear map, a fitted row is that map: the error vanishes on unseen noise."""
    process = processes.VPLinear()
    model = models.Gaussian(process, torch.zeros(5), 0.25 * torch.eye(5))
    evaluator = evaluate.Evaluator(model, (5,))
    seen, unseen = NoiseSet(0, SEARCH, 30), NoiseSet(0, HELD_OUT, 30)
    schedule = solvers.named("ddim").schedule(process, 1, "logsnr")
    fitted = fit(evaluator, seen, evaluate.follow(evaluator, seen), schedule, ridge=1e-8)
    assert np.sqrt(evaluate.measure(evaluator, unseen, schedule).mean()) > 0.1
    assert np.sqrt(evaluate.measure(evaluator, unseen, fitted).mean()) < 1e-4


def test_fit_lowers_the_error_on_unseen_noise(blobs: models.GaussianMixture) -> None:
    """On a mixture the fitted rows at least halve the error of the rows they started from."""
    evaluator = evaluate.Evaluator(blobs, (4,))
    seen, unseen = NoiseSet(0, SEARCH, 200), NoiseSet(0, HELD_OUT, 200)
    schedule = solvers.named("dpmpp-2m").schedule(blobs.process, 4, "quadratic")
    fitted = fit(evaluator, seen, evaluate.follow(evaluator, seen), schedule, ridge=1e-6)
    before, after = (evaluate.measure(evaluator, unseen, s).mean() for s in (schedule, fitted))
    assert np.sqrt(after / before) < 0.5
    assert fitted.steps == schedule.steps
    assert fewstep.Schedule.from_json(fitted.to_json()) == fitted


def test_a_strong_ridge_keeps_the_compiled_rows(blobs: models.GaussianMixture) -> None:
    """With an overwhelming pull nothing changes."""
    evaluator, seen = evaluate.Evaluator(blobs, (4,)), NoiseSet(0, SEARCH, 30)
    schedule = solvers.named("dpmpp-2m").schedule(blobs.process, 4, "logsnr")
    fitted = fit(evaluator, seen, evaluate.follow(evaluator, seen), schedule, ridge=1e12)
    assert fewstep.compile(fitted).close_to(fewstep.compile(schedule), tolerance=1e-8)
