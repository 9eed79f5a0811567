"""The values that search, predictor, storage and service exchange."""

import math

import pytest

from fewstep.errors import InvalidInput, UnknownName
from fewstep.values.efforts import EFFORTS
from fewstep.values.limits import Limits
from fewstep.values.objective import METRICS, Objective
from fewstep.values.problem import MAX_BUDGET, MAX_NFE, MAX_NOISES, Problem
from fewstep.values.score import Score


def test_a_problem_is_a_value() -> None:
    """Equal problems are equal and hash alike."""
    assert Problem("m", 8) == Problem("m", 8, "mean", 24, 0, effort="standard")
    assert len({Problem("m", 8), Problem("m", 8)}) == 1


@pytest.mark.parametrize("metric", METRICS)
def test_limits_are_allowed(metric: str) -> None:
    """The ends of every range are legal."""
    report = "rms" if metric == "mean" else None
    assert Problem("m", 1, metric, budget=1, seed=0, noises=8, precision=1e-9, report=report).nfe == 1
    largest = Problem("m", MAX_NFE, metric, MAX_BUDGET, 2**31 - 1, MAX_NOISES, precision=1.0)
    assert (largest.budget, largest.noises) == (MAX_BUDGET, MAX_NOISES)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"nfe": 0}, InvalidInput, "nfe is a whole number from 1 to 50, got 0"),
        ({"nfe": MAX_NFE + 1}, InvalidInput, "got 51"),
        ({"nfe": 8.0}, InvalidInput, "got 8.0"),
        ({"nfe": True}, InvalidInput, "got True"),
        ({"nfe": "8"}, InvalidInput, "got '8'"),
        ({"nfe": 8, "budget": -1}, InvalidInput, "budget is a whole number from 0 to 100000, got -1"),
        ({"nfe": 8, "seed": -1}, InvalidInput, "seed is a whole number from 0 to 2147483647, got -1"),
        ({"nfe": 8, "metric": "fid"}, UnknownName, "unknown metric 'fid'; known: mean, typical, trimmed"),
        ({"nfe": 8, "effort": "heroic"}, UnknownName, "unknown effort 'heroic'; known: quick, standard, thorough"),
        ({"nfe": 8, "noises": 7}, InvalidInput, "noises is a whole number from 8 to 8192, got 7"),
        ({"nfe": 8, "precision": 0}, InvalidInput, "precision is above 0 and at most 1, got 0"),
        ({"nfe": 8, "metric": "rms", "report": "endpoint"}, InvalidInput, "report another metric beside it"),
        ({"nfe": 8, "report": "mean"}, InvalidInput, "report another metric beside it"),
        ({"nfe": 8, "sampler": "luck"}, UnknownName, "unknown sampler 'luck'; known: guided"),
        (
            {"nfe": 8, "sampler": "random", "limits": Limits(improvement=0.1)},
            InvalidInput,
            "which only 'guided' makes: 'random' has none",
        ),
    ],
)
def test_a_bad_problem_is_refused(fields: dict, error: type[InvalidInput], message: str) -> None:
    """Each field says its range and what it was given."""
    with pytest.raises(error, match=message):
        Problem("m", **fields)


def test_a_metric_is_completed() -> None:
    """Features and reference that are left out are named, so that equal metrics are equal texts; and a distribution
    metric has the mean distance reported beside it."""
    problem = Problem("m", 8, "frechet:digits")
    assert (problem.metric, problem.report) == ("frechet:digits:teacher", "mean")
    assert problem == Problem("m", 8, "frechet:digits:teacher", report="mean")
    assert [objective.metric for objective in problem.objectives] == ["frechet", "mean"]
    assert [Problem("m", 8, text).objective.coupled for text in ("endpoint", "kid", "kid:pixels:coco")] == [
        True,
        True,
        False,
    ]
    assert Problem("m", 8).objectives == (Objective(),)


def test_the_first_versions_name_of_the_rms_error() -> None:
    """A metric by its old name is the same metric, in every place."""
    assert Problem("m", 8, "endpoint") == Problem("m", 8, "rms")
    assert Problem("m", 8, "kid", report="endpoint").report == "rms"


@pytest.mark.parametrize("effort", EFFORTS)
def test_an_effort_brings_its_sizes(effort: str) -> None:
    """Trials, noises and calls are the effort's own unless they are given."""
    sizes, problem = EFFORTS[effort], Problem("m", 8, effort=effort)
    assert (problem.budget, problem.noises, problem.limits.calls) == (sizes.budget, sizes.noises, sizes.calls)
    assert problem == Problem("m", 8, effort=effort, budget=0, noises=0)
    own = Problem("m", 8, effort=effort, budget=5, noises=9, limits=Limits(calls=77))
    assert (own.budget, own.noises, own.limits.calls, own.effort) == (5, 9, 77, effort)
    halved = sizes.calls is not None  # an effort that is bounded has fewer where calls are many
    assert Problem("m", 20, effort=effort).noises == (sizes.noises // 2 if halved else sizes.noises)


def test_a_body_of_the_first_version_is_custom() -> None:
    """Where no effort is named, trials or noises say that the size is given; nothing at all is standard."""
    efforts = [Problem("m", 8, budget=20).effort, Problem("m", 8, noises=64).effort, Problem("m", 8, seed=3).effort]
    assert efforts == ["custom", "custom", "standard"]
    assert Problem("m", 8, budget=20).limits == Limits()


@pytest.mark.parametrize("text", ["frechet:", "frechet:a:b:c", "frechet:../x", "endpoint:pixels", "frechet:a b", "", 3])
def test_a_text_that_is_no_metric_is_refused(text: str) -> None:
    """Names lead nowhere, and none is left open."""
    with pytest.raises(InvalidInput):
        Objective.parse(text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"calls": 0}, "calls is a whole number from 1 to 1000000000000, got 0"),
        ({"calls": True}, "got True"),
        ({"failures": -1}, "failures is a whole number from 0"),
        ({"seconds": 0}, "seconds is above 0 and at most 1e\\+09, got 0"),
        ({"seconds": math.nan}, "seconds is a finite number, got nan"),
        ({"improvement": 1.5}, "improvement is above 0 and at most 1, got 1.5"),
        ({"improvement": "0.1"}, "got '0.1'"),
    ],
)
def test_a_bad_limit_is_refused(fields: dict, message: str) -> None:
    """Each limit says its range and what it was given."""
    with pytest.raises(InvalidInput, match=message):
        Limits(**fields)


@pytest.mark.parametrize(("value", "standard_error"), [(math.nan, 0.0), (0.1, math.inf)])
def test_a_score_is_finite(value: float, standard_error: float) -> None:
    """A diverged evaluation has no score; it cannot be written as one."""
    with pytest.raises(InvalidInput, match="a score is finite, got"):
        Score(value, standard_error, 1, 1)
