"""Schedules as values: their rules, what each broken one says, and fitted rows."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fewstep import Schedule, Step, Tableau, compile, solvers
from fewstep.errors import InvalidInput, InvalidSchedule
from fewstep.processes import Cosine, VPLinear

LAW = VPLinear()


@pytest.fixture
def schedule() -> Schedule:
    """Three calls of DPM-Solver++ 2M."""
    return solvers.named("dpmpp-2m").schedule(LAW, 3, "time")


def test_numbers_of_any_kind_make_the_same_schedule() -> None:
    """Integers and NumPy scalars are floats afterwards; lists are tuples: equal values, equal digests."""
    plain = Schedule(LAW, (1.0, 0.5, 0.25), (Step(), Step(second=1)))
    other = Schedule(VPLinear(beta_max=20), np.array([1, 0.5, 0.25]), [Step(), Step(second=np.float32(1))])
    assert plain == other
    assert plain.digest == other.digest
    assert all(type(t) is float for t in other.times)


def test_a_schedule_is_a_value() -> None:
    """Frozen, hashable, comparable; the digest is 64 hexadecimal digits."""
    one, two = (solvers.named("dpm-3m").schedule(LAW, 5) for _ in range(2))
    assert one == two
    assert len({one, two}) == 1
    assert one != replace(one, steps=(*one.steps[:-1], Step("noise", 2)))
    assert len(one.digest) == len(bytes.fromhex(one.digest)) * 2 == 64
    with pytest.raises(AttributeError):
        one.times = ()


def test_negative_zero_is_zero() -> None:
    """−0.0 and 0.0 are equal times, so they are written alike."""
    ends = [Schedule(VPLinear(t_min=0.0), (1.0, end), (Step(),)) for end in (0.0, -0.0)]
    assert ends[0].digest == ends[1].digest


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prediction": "velocity"}, r"prediction is one of \('data', 'noise'\), got 'velocity'"),
        ({"prediction": ["data"]}, r"got \['data'\]"),
        ({"order": 0}, "order is a whole number from 1 to 4, got 0"),
        ({"order": 5}, "got 5"),
        ({"order": 2.0}, "got 2.0"),
        ({"order": True}, "got True"),
        ({"order": "2"}, "got '2'"),
        ({"scale": "bh3"}, "scale is one of .*'bh2'.*, got 'bh3'"),
        ({"scale": ["bh1"]}, r"got \['bh1'\]"),
        ({"scale": None}, "got None"),
        ({"second": math.nan}, "second is a finite number, got nan"),
        ({"second": "0.5"}, "second is a finite number, got '0.5'"),
        ({"second": True}, "got True"),
        ({"second": 10**400}, "second is a finite number"),
    ],
)
def test_a_bad_step_is_refused(fields: dict, message: str) -> None:
    """A step says which field, what it was given and what it wants."""
    with pytest.raises(InvalidSchedule, match=message):
        Step(**fields)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Schedule(LAW, (1.0,), ()), "1 to 1000 steps, got 0"),
        (lambda: Schedule(LAW, (1.0, 0.5), (Step(),) * 2), "2 steps want 3 times, got 2"),
        (lambda: Schedule(LAW, (1.0, 0.5, 0.2), (Step(),)), "1 steps want 2 times, got 3"),
        (
            lambda: Schedule(LAW, (1.0, 0.2, 0.5), (Step(),) * 2),
            r"times\[2\] = 0.5 does not lie below times\[1\] = 0.2",
        ),
        (lambda: Schedule(LAW, (1.0, 0.5, 0.5), (Step(),) * 2), r"times\[2\] = 0.5 does not lie below"),
        (lambda: Schedule(LAW, (1.0, math.nan), (Step(),)), r"times\[1\] is a finite number, got nan"),
        (lambda: Schedule(LAW, (math.inf, 0.5), (Step(),)), r"times\[0\] is a finite number, got inf"),
        (lambda: Schedule(LAW, (1.0, "0.5"), (Step(),)), r"times\[1\] is a finite number, got '0.5'"),
        (lambda: Schedule(LAW, (True, 0.5), (Step(),)), r"times\[0\] is a finite number, got True"),
        (lambda: Schedule(LAW, (1.0, 10**400), (Step(),)), r"times\[1\] is a finite number"),
        (lambda: Schedule(LAW, 1.0, (Step(),)), "sequences"),
        (lambda: Schedule(LAW, (1.0, 0.5), 1), "sequences"),
        (lambda: Schedule(LAW, (1.0, 0.5), ({"order": 1},)), r"steps\[0\] is a Step, got {'order': 1}"),
        (
            lambda: Schedule("vp-linear", (1.0, 0.5), (Step(),)),
            "process is a value of fewstep.processes, got 'vp-linear'",
        ),
        (lambda: Schedule(LAW, (1.0, 0.5), (Step(),), fitted=[[1.0]]), "fitted is a Tableau or None, got list"),
        (lambda: Schedule(LAW, (1.1, 0.5), (Step(),)), r"times\[0\] = 1.1 is outside \[0.0, 1.0\] of vp-linear"),
        (lambda: Schedule(LAW, (1.0, -0.1), (Step(),)), r"times\[1\] = -0.1 is outside"),
        (lambda: Schedule(LAW, (1.0, 1.0 - 1e-9), (Step(),)), r"times\[1\] = .* raises log-SNR by .* less than 1e-06"),
        (lambda: Schedule(LAW, (1.0, 5e-324, 0.0), (Step(),) * 2), r"times\[2\] = 0.0 raises log-SNR by nan"),
        (lambda: Schedule(LAW, (1.0, 0.5), (Step("data", 2),)), r"steps\[0\] has order 2, but only 1 outputs"),
        (lambda: Schedule(LAW, (1.0, 0.5, 0.1), (Step(), Step("data", 3))), r"steps\[1\] has order 3, but only 2"),
        (lambda: Schedule(LAW, (1.0, 0.5, 0.0), (Step(), Step("data", 2))), r"steps\[1\] has order 2, but only 1"),
        (
            lambda: Schedule(Cosine(t_max=1.0), (1.0, 0.5, 0.1), (Step(), Step("data", 2))),
            r"steps\[1\] has order 2, but only 1 outputs",
        ),
    ],
)
def test_a_broken_rule_is_named(make: Callable[[], Schedule], message: str) -> None:
    """Each rule's message names the entry, what was given and what is wanted."""
    with pytest.raises(InvalidSchedule, match=message):
        make()


def test_rows_belong_to_their_times(schedule: Schedule) -> None:
    """Fitted rows of other times are refused."""
    with pytest.raises(InvalidSchedule, match="rows were made for other times"):
        replace(schedule, times=(1.0, 0.6, 0.3, 0.001), fitted=compile(schedule))


def test_fitted_rows_overrule_the_steps(schedule: Schedule) -> None:
    """compile returns the rows themselves, and the digest tells the two schedules apart."""
    plain = compile(schedule)
    rows = Tableau(plain.times, plain.network_times, plain.start, plain.outputs * 1.01, plain.noise)
    fitted = replace(schedule, fitted=rows)
    assert compile(fitted) is rows
    assert fitted.digest != schedule.digest
    assert fitted.canonical().fitted is rows


def test_invalid_schedules_are_invalid_input() -> None:
    """Callers who catch `InvalidInput` or `ValueError` catch them all."""
    assert issubclass(InvalidSchedule, InvalidInput)
    assert issubclass(InvalidSchedule, ValueError)
