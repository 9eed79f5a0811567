"""Limits: a search ends where it is told to, with what it has, and spends no more than it may."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

from fewstep import models
from fewstep.errors import SearchFailed
from fewstep.search.engine import run
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.log import Callbacks, TrialLog
from fewstep.search.optimize import descent as polish
from fewstep.search.samplers.ranking import by_replay
from fewstep.values.limits import Limits
from fewstep.values.problem import Problem
from fewstep.values.result import Result
from fewstep.values.stages import STAGES, Stage
from fewstep.values.trial import Trial
from tests.search.timeless import timeless

PROBLEM = Problem("blobs", nfe=3, budget=64, noises=32)
FITTED = [STAGES[name] for name in ("baselines", "guided", "fit")]
GREEDY = Limits(improvement=0.999)


Found = tuple[Result, list[Trial]]


def search(
    pool: InlinePool, blobs: models.GaussianMixture, limits: Limits, stages: Sequence[Stage] = (), **more: Any
) -> Found:
    trials: list[Trial] = []
    problem, on = replace(PROBLEM, limits=limits), Callbacks(trial=trials.append)
    return run(problem, blobs.process, pool, by_replay, on=on, stages=stages, **more), trials


@pytest.fixture(scope="module")
def free(inline: InlinePool, blobs: models.GaussianMixture) -> int:
    """Calls that the search spends without a limit."""
    return search(inline, blobs, Limits())[0].cost.search_calls


@pytest.fixture(scope="module")
def limited(inline: InlinePool, blobs: models.GaussianMixture, free: int) -> Callable[[float], Found]:
    """The search with a share of those calls; each share once."""
    return cache(lambda share: search(inline, blobs, Limits(calls=int(share * free))))


@pytest.fixture(scope="module")
def greedy(inline: InlinePool, blobs: models.GaussianMixture) -> Found:
    """A search for an improvement that no forecast reaches."""
    return search(inline, blobs, GREEDY, FITTED)


@pytest.mark.parametrize("share", [0.65, 0.8, 0.9, 1.0])
def test_no_more_calls_are_spent_than_allowed(limited: Callable[[float], Found], free: int, share: float) -> None:
    """Whatever the limit between the least that is possible and what the search would spend, it holds, and
    so does that of trials."""
    found, trials = limited(share)
    assert found.cost.search_calls <= int(share * free)
    assert len(trials) <= PROBLEM.budget
    assert found.ratio <= 1.0 or found.schedule == found.baseline.schedule


def test_calls_that_save_memory_are_within_the_limit(
    inline: InlinePool, blobs: models.GaussianMixture, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A polish whose batches are wide calls the network again on its way back, so that the search would spend more than
    without: it does fewer iterations for that."""
    monkeypatch.setattr(polish, "WIDE", 1)
    allowed = int(0.8 * free)
    found, trials = search(inline, blobs, Limits(calls=allowed))
    assert found.cost.search_calls <= allowed
    assert "polish" in {trial.origin.stage for trial in trials}


def test_a_model_without_gradient_leaves_the_polish_to_trials(
    limited: Callable[[float], Found], blobs: models.GaussianMixture, free: int
) -> None:
    """It is found out before the trials, which get those calls within the limit; the closed loop, which wants no
    gradient, runs; the search says why there is no polish."""
    opaque = InlinePool(Evaluator(models.from_callable(torch.no_grad()(blobs), blobs.process, prediction="data"), (4,)))
    allowed = int(0.8 * free)
    seen, guided = [], []
    for found, trials in (limited(0.8), search(opaque, blobs, Limits(calls=allowed))):
        assert found.cost.search_calls <= allowed
        assert len(trials) <= PROBLEM.budget
        seen.append({trial.origin.stage for trial in trials if trial.score is not None})
        guided.append(sum(not STAGES[trial.origin.stage].final for trial in trials))
    assert guided[1] > guided[0]
    assert "time-search" in seen[1]
    assert "polish" in seen[0] - seen[1]
    assert (trials[-1].reason or "").startswith("not polished: it has no gradient")


def test_a_limit_below_the_teacher_is_refused(inline: InlinePool, blobs: models.GaussianMixture) -> None:
    """Before anything is spent, the search says what teacher and confirmation cost."""
    told = r"teacher, first trials and selection on 32 noises cost .* and 1,000 are allowed"
    with pytest.raises(SearchFailed, match=told):
        search(inline, blobs, Limits(calls=1000))


def test_when_time_is_up_the_search_confirms_what_it_has(inline: InlinePool, blobs: models.GaussianMixture) -> None:
    """No second generation, no closed loop, no polish; but fits, which are cheap, and a result."""
    found, trials = search(inline, blobs, Limits(seconds=1e-6))
    assert sum(trial.origin.stage == "baselines" for trial in trials) <= 8
    assert {trial.origin.stage for trial in trials} == {"baselines", "fit"}
    assert found.cost.evaluations == len(trials)


def test_without_hope_of_the_wanted_improvement_trials_stop(
    inline: InlinePool, blobs: models.GaussianMixture, greedy: Found
) -> None:
    """An improvement that no forecast reaches ends the guided trials after two generations; fits still follow."""
    _, modest = search(inline, blobs, Limits(improvement=0.001), FITTED)
    assert len(greedy[1]) < len(modest)
    assert any(trial.origin.stage == "fit" for trial in greedy[1])


def test_an_ended_search_taken_up_again_ends_alike(
    inline: InlinePool, blobs: models.GaussianMixture, greedy: Found
) -> None:
    """With its own trials at hand, a search that a limit ended early asks for nothing new."""
    found, trials = greedy
    again, new = search(inline, blobs, GREEDY, FITTED, log=TrialLog(trials))
    assert not new
    assert timeless(again) == timeless(found)
