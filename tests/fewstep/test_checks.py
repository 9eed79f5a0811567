"""Single values from outside."""

import math

import numpy as np
import pytest
import torch

from fewstep.checks import number
from fewstep.errors import InvalidInput, InvalidSchedule


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.int64(1), np.array(1.0), torch.tensor(1.0)])
def test_every_kind_of_number_becomes_a_float(value: object) -> None:
    """Integers, NumPy scalars and one-element tensors all become the same float."""
    assert number("x", value) == 1.0
    assert type(number("x", value)) is float


@pytest.mark.parametrize("value", ["1.0", b"1", True, None, math.nan, math.inf, 10**400, [1.0, 2.0], object()])
def test_anything_else_is_refused_by_name(value: object) -> None:
    """Text, truth values, NaN, infinities, overlong integers and containers raise the asked-for error with the name."""
    with pytest.raises(InvalidSchedule, match=r"^width is a finite number, got "):
        number("width", value, InvalidSchedule)


def test_negative_zero_becomes_zero() -> None:
    """Equal values are written alike, so that equal schedules share a digest."""
    assert str(number("x", -0.0)) == "0.0"


def test_the_default_error_is_invalid_input() -> None:
    """Without another class it is `InvalidInput`, which is a `ValueError` for callers who know nothing of fewstep."""
    with pytest.raises(InvalidInput, match="got 'a'"):
        number("x", "a")
    assert issubclass(InvalidInput, ValueError)
