"""Stored schedules: what is read back, what a spoilt file says, and what outlives a change of solver code."""

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from fewstep import Schedule, Step, Tableau, compile, sample, solvers
from fewstep.errors import InvalidSchedule
from fewstep.models import from_callable
from fewstep.processes import Cosine, Discrete, VPLinear
from fewstep.steps.exponential import SCALES


@pytest.fixture
def schedule() -> Schedule:
    """Three calls of DPM-Solver++ 2M."""
    return solvers.named("dpmpp-2m").schedule(VPLinear(), 3, "time")


@pytest.fixture
def stored(schedule: Schedule) -> dict:
    """The same as parsed JSON."""
    return json.loads(schedule.to_json())


def put(key: str, value: object) -> Callable[[dict], None]:
    return lambda data: data.__setitem__(key, value)


def drop(key: str) -> Callable[[dict], None]:
    return lambda data: data.pop(key)


def first_step(value: object) -> Callable[[dict], None]:
    return lambda data: data["steps"].__setitem__(0, value)


def in_tableau(name: str, change: Callable[[object], object]) -> Callable[[dict], None]:
    return lambda data: data["tableau"].__setitem__(name, change(data["tableau"][name]))


def put_guidance(value: object) -> Callable[[dict], None]:
    return lambda data: data["tableau"].__setitem__("guidance", value)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (drop("format"), '"format": "fewstep.schedule", got "format": None'),
        (put("format", "fewstep.model"), "got \"format\": 'fewstep.model'"),
        (put("version", 3), "reads schedule versions 1 and 2, got 3: use a newer fewstep"),
        (put("version", "1"), "reads schedule versions 1 and 2, got '1'"),
        (put("version", True), "reads schedule versions 1 and 2, got True"),
        (drop("version"), "reads schedule versions 1 and 2, got None"),
        (put("guidance", [1.0, 2.0, 1.0]), r"unknown entries \['guidance'\]; known: format, version"),
        (put_guidance(None), "a tableau is an object with"),
        (put_guidance([1.0, 2.0, 1.0]), "fitted rows were made for guidance"),
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


def test_an_edit_is_accepted_without_digests(stored: dict) -> None:
    """Someone who edits the numbers on purpose drops both digests, and gets a fitted schedule."""
    stored["tableau"]["start"][0] *= 1.5
    del stored["digest"], stored["tableau_digest"]
    fitted = Schedule.from_dict(stored)
    assert compile(fitted).start[0] == stored["tableau"]["start"][0]
    assert fitted.fitted is not None
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
    monkeypatch.setattr("fewstep.schedule.compile", lambda s: s.fitted or compile(replace(s, steps=(Step(),) * s.nfe)))
    back = Schedule.from_dict(copy.deepcopy(stored))
    assert back.steps == schedule.steps
    assert compile(back) == wanted
    monkeypatch.undo()
    assert Schedule.from_json(back.to_json()) == back


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_that_a_file_may_hold_is_read_and_run(scale: str) -> None:
    """Also those that no solver and no search uses: on constant outputs the derivative counts for nothing."""
    law, steps = VPLinear(), (Step(), Step(order=2, scale=scale, slope=0.25 if scale == "linear" else 0.0))
    chosen = Schedule(law, (1.0, 0.5, 0.001), steps)
    back = Schedule.from_json(chosen.to_json())
    assert back == chosen
    end = sample(from_callable(lambda x, t: torch.ones_like(x), law, "data"), back, torch.ones(1, 2).double())
    kept = float(law.sigma(0.001) / law.sigma(1.0))
    assert end[0, 0].item() == pytest.approx(float(law.alpha(0.001) - kept * law.alpha(1.0)) + kept)


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
