"""The values that search, predictor, storage and service exchange."""

import math

import pytest

from fewstep.errors import InvalidInput, UnknownName
from fewstep.values.limits import Limits
from fewstep.values.objective import METRICS, Objective
from fewstep.values.problem import MAX_BUDGET, MAX_NFE, Problem
from fewstep.values.score import Score


def test_a_problem_is_a_value() -> None:
    """Equal problems are equal and hash alike."""
    assert Problem("m", 8) == Problem("m", 8, "endpoint", 400, 0)
    assert len({Problem("m", 8), Problem("m", 8)}) == 1


@pytest.mark.parametrize("metric", METRICS)
def test_limits_are_allowed(metric: str) -> None:
    """The ends of every range are legal."""
    assert Problem("m", 1, metric, 1, 0).nfe == 1
    assert Problem("m", MAX_NFE, metric, MAX_BUDGET, 2**31 - 1).budget == MAX_BUDGET


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"nfe": 0}, InvalidInput, "nfe is a whole number from 1 to 50, got 0"),
        ({"nfe": MAX_NFE + 1}, InvalidInput, "got 51"),
        ({"nfe": 8.0}, InvalidInput, "got 8.0"),
        ({"nfe": True}, InvalidInput, "got True"),
        ({"nfe": "8"}, InvalidInput, "got '8'"),
        ({"nfe": 8, "budget": 0}, InvalidInput, "budget is a whole number from 1 to 100000, got 0"),
        ({"nfe": 8, "seed": -1}, InvalidInput, "seed is a whole number from 0 to 2147483647, got -1"),
        ({"nfe": 8, "metric": "fid"}, UnknownName, "unknown metric 'fid'; known: endpoint"),
        ({"nfe": 8, "report": "endpoint"}, InvalidInput, "report another metric beside it"),
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
    metric has the endpoint error reported beside it."""
    problem = Problem("m", 8, "frechet:digits")
    assert (problem.metric, problem.report) == ("frechet:digits:teacher", "endpoint")
    assert problem == Problem("m", 8, "frechet:digits:teacher", report="endpoint")
    assert [objective.metric for objective in problem.objectives] == ["frechet", "endpoint"]
    assert [Problem("m", 8, text).objective.coupled for text in ("endpoint", "kid", "kid:pixels:coco")] == [
        True,
        True,
        False,
    ]
    assert Problem("m", 8).objectives == (Objective(),)


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
