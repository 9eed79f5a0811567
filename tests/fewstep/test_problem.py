"""The values that search, predictor, storage and service exchange."""

import math

import pytest

from fewstep.errors import InvalidInput, UnknownName
from fewstep.problem import MAX_BUDGET, MAX_NFE, METRICS, Problem, Score


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
    ],
)
def test_a_bad_problem_is_refused(fields: dict, error: type[InvalidInput], message: str) -> None:
    """Each field says its range and what it was given."""
    with pytest.raises(error, match=message):
        Problem("m", **fields)


@pytest.mark.parametrize(("value", "standard_error"), [(math.nan, 0.0), (0.1, math.inf)])
def test_a_score_is_finite(value: float, standard_error: float) -> None:
    """A diverged evaluation has no score; it cannot be written as one."""
    with pytest.raises(InvalidInput, match="a score is finite, got"):
        Score(value, standard_error, 1, 1)
