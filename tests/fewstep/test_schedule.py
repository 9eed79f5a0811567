"""Schedules: rules, what each broken one says, and reading of stored ones."""

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fewstep import Schedule, Step, Tableau, compile, solvers
from fewstep.errors import InvalidInput, InvalidSchedule
from fewstep.processes import Cosine, Discrete, VPLinear

LAW = VPLinear()


@pytest.fixture
def schedule() -> Schedule:
    """Three calls of DPM-Solver++ 2M."""
    return solvers.named("dpmpp-2m").schedule(LAW, 3, "time")


@pytest.fixture
def stored(schedule: Schedule) -> dict:
    """The same as parsed JSON."""
    return json.loads(schedule.to_json())


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
        (lambda: Schedule(LAW, (1.0, 0.5), (Step(),), rows=[[1.0]]), "rows is a Tableau or None, got list"),
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
        replace(schedule, times=(1.0, 0.6, 0.3, 0.001), rows=compile(schedule))


def test_fitted_rows_overrule_the_steps(schedule: Schedule) -> None:
    """compile returns the rows themselves, and the digest tells the two schedules apart."""
    plain = compile(schedule)
    rows = Tableau(plain.times, plain.network_times, plain.start, plain.outputs * 1.01, plain.noise)
    fitted = replace(schedule, rows=rows)
    assert compile(fitted) is rows
    assert fitted.digest != schedule.digest
    assert fitted.canonical().rows is rows


def put(key: str, value: object) -> Callable[[dict], None]:
    return lambda data: data.__setitem__(key, value)


def drop(key: str) -> Callable[[dict], None]:
    return lambda data: data.pop(key)


def first_step(value: object) -> Callable[[dict], None]:
    return lambda data: data["steps"].__setitem__(0, value)


def in_tableau(name: str, change: Callable[[object], object]) -> Callable[[dict], None]:
    return lambda data: data["tableau"].__setitem__(name, change(data["tableau"][name]))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (drop("format"), '"format": "fewstep.schedule", got "format": None'),
        (put("format", "fewstep.model"), "got \"format\": 'fewstep.model'"),
        (put("version", 2), "version 2 is not 1"),
        (put("version", "1"), "version '1' is not 1"),
        (drop("version"), "version None is not 1"),
        (drop("process"), "has no 'process'; it has format, version, times, steps"),
        (drop("times"), "has no 'times'"),
        (drop("steps"), "has no 'steps'"),
        (drop("tableau"), "has no 'tableau'"),
        (put("author", "me"), r"unknown entries \['author'\]; known: format, version"),
        (put("times", "1.0"), "'times' is a list, got str"),
        (put("steps", {}), "'steps' is a list, got dict"),
        (put("times", [1.0, 0.5, 0.9, 0.001]), r"times\[2\] = 0.9 does not lie below"),
        (put("times", [1.0, None, 0.3, 0.001]), r"times\[1\] is a finite number, got None"),
        (lambda data: data["times"].pop(), "3 steps want 4 times, got 3"),
        (lambda data: data["steps"].pop(), "2 steps want 3 times, got 4"),
        (put("process", {"kind": "vp"}), "the schedule's process: unknown process 'vp'"),
        (put("process", None), "the schedule's process: a process is an object"),
        (first_step({"order": 1, "stochastic": True}), r"steps\[0\] is an object with prediction, order, scale"),
        (first_step("ddim"), r"steps\[0\] is an object with .*; got ddim"),
        (first_step({"order": 9}), r"steps\[0\]: order is a whole number"),
        (put("tableau", [1.0]), "a tableau is an object with times, network_times.*; got list"),
        (lambda data: data["tableau"].pop("noise"), r"got \['network_times', 'outputs', 'start', 'times'\]"),
        (lambda data: data["tableau"].update(extra=1), "'extra'"),
        (in_tableau("start", lambda rows: rows[:-1]), r"tableau start has shape \(2,\), wanted \(3,\)"),
        (in_tableau("outputs", lambda rows: rows[:-1]), r"tableau outputs has shape \(2, 3\), wanted \(3, 3\)"),
        (in_tableau("outputs", lambda rows: [rows[0][:1], *rows[1:]]), "tableau outputs is not a regular table"),
        (in_tableau("start", lambda rows: [None, *rows[1:]]), "tableau start holds something else than numbers"),
        (in_tableau("start", lambda rows: ["1.0", *rows[1:]]), "tableau start holds something else than numbers"),
        (in_tableau("start", lambda rows: [math.nan, *rows[1:]]), "tableau start holds NaN or infinity"),
        (in_tableau("outputs", lambda rows: [[1.0] * 3, *rows[1:]]), "before it exists"),
        (in_tableau("times", lambda times: [1.0, *(0.99 * t for t in times[1:])]), "rows were made for other times"),
        (in_tableau("start", lambda rows: [2 * rows[0], *rows[1:]]), "the schedule was edited"),
        (first_step({"order": 1, "prediction": "data"}), None),
        (lambda data: data["steps"][1].update(order=1, scale="none"), "the schedule was edited; drop 'digest'"),
        (put("digest", "0" * 64), "the schedule was edited"),
        (put("digest", None), "the schedule was edited"),
        (put("tableau_digest", "0" * 64), "the schedule was edited"),
    ],
)
def test_a_spoilt_file_is_refused(stored: dict, edit: Callable[[dict], None], message: str | None) -> None:
    """Each spoilt entry has its own message; a step that is written shorter but means the same is no edit."""
    edit(stored)
    if message is None:
        assert Schedule.from_dict(stored).nfe == 3
        return
    with pytest.raises(InvalidSchedule, match=message):
        Schedule.from_dict(stored)


@pytest.mark.parametrize(
    "text",
    ["", "{", "fewstep", b"\xff\xfe\x00", "[" * 100_000, '{"format": ' + "9" * 5000 + "}", None],
    ids=["empty", "open", "word", "bytes", "deep", "long-number", "none"],
)
def test_text_that_is_not_json_is_refused(text: object) -> None:
    """Whatever is no JSON raises `InvalidSchedule` and shows how it begins."""
    with pytest.raises(InvalidSchedule, match="a schedule is JSON text, got"):
        Schedule.from_json(text)


@pytest.mark.parametrize("text", ["[]", "null", "3", '"fewstep.schedule"'])
def test_other_json_is_refused(text: str) -> None:
    """JSON that is no object is refused by its type."""
    with pytest.raises(InvalidSchedule, match=r'a schedule is a JSON object with "format": "fewstep.schedule", got '):
        Schedule.from_json(text)


def test_invalid_schedules_are_invalid_input() -> None:
    """Callers who catch `InvalidInput` or `ValueError` catch them all."""
    assert issubclass(InvalidSchedule, InvalidInput)
    assert issubclass(InvalidSchedule, ValueError)


def test_an_edit_is_accepted_without_digests(stored: dict) -> None:
    """Someone who edits the numbers on purpose drops both digests, and gets a fitted schedule."""
    stored["tableau"]["start"][0] *= 1.5
    del stored["digest"], stored["tableau_digest"]
    fitted = Schedule.from_dict(stored)
    assert compile(fitted).start[0] == stored["tableau"]["start"][0]
    assert fitted.rows is not None
    assert Schedule.from_json(fitted.to_json()) == fitted


def test_a_stored_schedule_without_digests_is_read(schedule: Schedule, stored: dict) -> None:
    """Digests are optional; without them the same schedule comes back."""
    del stored["digest"], stored["tableau_digest"]
    assert Schedule.from_dict(stored) == schedule


def test_stored_numbers_outlive_a_change_of_solver_code(
    schedule: Schedule, stored: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the choices compile to other numbers than when they were stored, the stored ones rule, digests intact."""
    wanted = compile(schedule)
    monkeypatch.setattr("fewstep.schedule.compile", lambda s: s.rows or compile(replace(s, steps=(Step(),) * s.nfe)))
    back = Schedule.from_dict(copy.deepcopy(stored))
    assert back.steps == schedule.steps
    assert compile(back) == wanted
    monkeypatch.undo()
    assert Schedule.from_json(back.to_json()) == back


def test_reading_does_not_depend_on_rounding(schedule: Schedule, stored: dict) -> None:
    """A tableau stored on a machine that rounds otherwise is still the choices' own, not a fit."""
    stored["tableau"]["outputs"][0][0] *= 1 + 1e-13
    stored["tableau_digest"] = Tableau.from_dict(stored["tableau"]).digest
    assert Schedule.from_dict(stored) == schedule


def test_a_long_discrete_table_survives(process) -> None:
    """Every noise law is stored with all its parameters."""
    schedule = solvers.named("dpm-2m").schedule(process, 4)
    assert Schedule.from_json(schedule.to_json()).process == process
    assert isinstance(process, (VPLinear, Cosine, Discrete))
