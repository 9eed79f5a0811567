"""The stored schedule: docs/schedule-format.md, the JSON Schema in the wheel and `Schedule.from_json` say the same."""

import hashlib
import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import fewstep
from fewstep import Schedule, Step, compile, processes, solvers
from fewstep.processes.betas import ENTRIES
from fewstep.steps.exponential import SCALES
from fewstep.steps.fresh import KINDS
from fewstep.steps.step import PREDICTIONS, VARIABLES
from fewstep.timeshift import MODES, TARGETS, TimeShift
from tests.fewstep.drawn import schedules

SCHEMA = json.loads((Path(fewstep.__file__).parent / "schedule.schema.json").read_text())
PAGE = (Path(__file__).parents[2] / "docs" / "schedule-format.md").read_text()
READER = Draft202012Validator(SCHEMA)

LAWS = [
    processes.VPLinear(),
    processes.Cosine(),
    processes.Discrete.linear_betas(count=50),
    processes.VE(),
    processes.Flow(shift=3.0),
    processes.DDM(),
]


def document(schedule: Schedule) -> dict[str, Any]:
    """The schedule as a reader finds it."""
    read: dict[str, Any] = json.loads(schedule.to_json())
    return read


def test_the_schema_is_a_schema() -> None:
    """It is valid under the draft that it names."""
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.kind)
def test_every_solver_on_every_process_is_valid(law: processes.Process) -> None:
    """Whatever `to_json` writes, the schema accepts."""
    for solver in map(solvers.named, solvers.names()):
        if solver.applies(law):
            wrong = [error.message for error in READER.iter_errors(document(solver.schedule(law, 5)))]
            assert not wrong, solver.name


def test_all_kinds_of_process_are_tried() -> None:
    """A new kind of process needs its part of the schema."""
    assert {law.kind for law in LAWS} == set(processes.names())
    for kind, stated in by_kind().items():
        law = next(law for law in LAWS if law.kind == kind)
        assert set(stated) == {*processes.to_dict(law), *(ENTRIES if kind == "discrete" else ())}


def by_kind() -> dict[str, dict[str, Any]]:
    """The schema's entries of each kind of process."""
    return {each["properties"]["kind"]["const"]: each["properties"] for each in SCHEMA["$defs"]["process"]["oneOf"]}


def test_steps_have_the_same_entries_words_and_defaults() -> None:
    """The schema names every field of `Step` with its default, and every word that it may hold."""
    stated = SCHEMA["$defs"]["step"]["properties"]
    defaults = {f.name: list(f.default) if isinstance(f.default, tuple) else f.default for f in fields(Step)}
    assert {name: entry["default"] for name, entry in stated.items()} == defaults
    assert stated["prediction"]["enum"] == list(PREDICTIONS)
    assert stated["variable"]["enum"] == list(VARIABLES)
    assert SCHEMA["$defs"]["scale"]["enum"] == list(SCALES)
    assert stated["noise"]["enum"] == list(KINDS)


@given(schedules(), st.booleans())
def test_every_valid_schedule_is_valid_in_the_schema(schedule: Schedule, fitted: bool) -> None:
    """Schedules from the whole space, with rows of their own or without."""
    READER.validate(document(replace(schedule, fitted=compile(schedule)) if fitted else schedule))


@pytest.mark.parametrize("shift", [TimeShift(0.1, 0.3), TimeShift(0.2, 0.0, "calibrated", "start", 0.5)])
def test_time_shifts_are_valid_in_the_schema(shift: TimeShift) -> None:
    """Every target and mode; the schema has the same entries, words and defaults as `TimeShift`."""
    READER.validate(document(replace(solvers.named("ddim").schedule(processes.VPLinear(), 5), shift=shift)))
    stated = SCHEMA["$defs"]["shift"]["properties"]
    assert list(stated) == [f.name for f in fields(TimeShift)]
    assert (stated["target"]["enum"], stated["mode"]["enum"]) == (list(TARGETS), list(MODES))
    assert {f.name: f.default for f in fields(TimeShift) if f.name in ("target", "mode")} == {
        name: stated[name]["default"] for name in ("target", "mode")
    }


def test_the_page_names_every_entry() -> None:
    """Each entry of a document has a row in the page's tables, with its default if it has one, and no other row is."""
    described = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    steps, tableau = SCHEMA["$defs"]["step"]["properties"], SCHEMA["$defs"]["tableau"]["properties"]
    kinds = {key for stated in by_kind().values() for key in stated}
    shift = SCHEMA["$defs"]["shift"]["properties"]
    assert described == {*SCHEMA["properties"], *steps, *tableau, *kinds, *shift}
    for name, entry in steps.items():
        assert re.search(rf"^\| `{name}` \| `{re.escape(json.dumps(entry['default']))}` \|", PAGE, re.MULTILINE), name


def test_the_page_shows_a_whole_document() -> None:
    """The document on the page is one that the library writes: valid, with its own digests."""
    shown = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])
    READER.validate(shown)
    assert document(Schedule.from_json(json.dumps(shown))) == shown


def test_digests_are_as_the_page_says() -> None:
    """SHA-256 of sorted JSON: of the canonical choices with rows or null, and of the tableau."""

    def digest(content: object) -> str:
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    plain = solvers.named("unipc-2-bh1").schedule(processes.Flow(), 4)
    for schedule, rows in ((plain, None), (replace(plain, fitted=compile(plain)), compile(plain).to_dict())):
        written = document(schedule)
        choices = {key: written[key] for key in ("process", "times", "steps")}
        assert written["digest"] == digest(choices | {"rows": rows})
        assert written["tableau_digest"] == digest(written["tableau"])
