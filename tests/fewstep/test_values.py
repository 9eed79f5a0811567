"""Values and their one codec: what is written is read, older and newer forms too; fields are stated once."""

import json
import re
from dataclasses import MISSING, fields, make_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import pytest

from fewstep.errors import InvalidInput
from fewstep.values.codec import decode, dump, encode, entries, load
from fewstep.values.event import Event
from fewstep.values.fields import About, check, field_specs
from fewstep.values.limits import Limits
from fewstep.values.metrics import Metrics
from fewstep.values.model import Model
from fewstep.values.origin import Origin
from fewstep.values.page import Page
from fewstep.values.problem import Options, Problem
from fewstep.values.published import Published
from fewstep.values.result import Cost, Result, StageReport
from fewstep.values.score import Interval, Score
from fewstep.values.search import Search, SearchState
from fewstep.values.trial import Trial
from tests.storage import samples

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
RESULT = samples.result(samples.limited(), plan=samples.fitted())
SEARCH = Search("s", samples.limited(), SearchState.RUNNING, NOW, NOW, None, 2, None, 3, samples.score(), 7)
VALUES: list[tuple[Any, Any]] = [
    (Problem, samples.limited()),
    (Limits, Limits()),
    (Score, samples.score()),
    (Trial, samples.trial(3)),
    (Trial, samples.trial(4, None)),
    (Result, RESULT),
    (Cost, Cost(1, 2, 3.5, 2, (StageReport("fit", 1, 2, 0.5, None, 0.1),))),
    (Model, samples.submitted()),
    (Search, SEARCH),
    (Event, Event(1, "s", "phase", {"phase": "fit", "done": 1, "total": 2}, NOW)),
    (Published, Published(RESULT.schedule.digest, "a" * 16, "s", NOW, RESULT)),
    (Page[Search, str], Page([SEARCH], "12")),
    (Metrics, Metrics(("rms",), ("pixels",), ())),
]


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_what_is_written_is_read(kind: Any, value: Any) -> None:
    """Every value comes back equal from its JSON text, which has exactly the entries that are declared for it."""
    assert load(kind, dump(value)) == value
    assert encode(value).keys() == entries(kind).keys()


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_reading_is_lenient_unless_it_is_strict(kind: Any, value: Any) -> None:
    """What a newer version adds is passed over; strictly it is refused by its name."""
    data = encode(value) | {"colour": "red"}
    assert decode(kind, data) == value
    with pytest.raises(InvalidInput, match="colour"):
        decode(kind, data, strict=True)


def test_what_is_missing_has_its_default() -> None:
    """Fields that came later may be missing or null; those without a default may not."""
    assert decode(Problem, {"model": "m", "nfe": 8, "seed": None}) == Problem("m", 8)
    assert decode(Model, {k: v for k, v in encode(samples.model()).items() if k != "conditions"}) == samples.model()
    with pytest.raises(InvalidInput, match="nfe is missing"):
        decode(Problem, {"model": "m"})
    with pytest.raises(InvalidInput, match="seed is null"):
        decode(Problem, {"model": "m", "nfe": 8, "seed": None}, strict=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"model": "m", "nfe": "8"}, "nfe is a whole number, got '8'"),
        ({"model": "m", "nfe": True}, "nfe is a whole number, got True"),
        ({"model": 3, "nfe": 8}, "model is text, got 3"),
        ({"model": "m", "nfe": 8, "limits": {"seconds": "1"}}, "limits.seconds is a number, got '1'"),
        ({"model": "m", "nfe": 8, "limits": [1]}, "limits is an object, got"),
        ([], "it is an object, got"),
    ],
)
def test_a_wrong_type_is_refused_with_its_place(data: Any, message: str) -> None:
    """However lenient the reading is."""
    with pytest.raises(InvalidInput, match=re.escape(message)):
        decode(Problem, data)


def test_a_place_within_lists_is_named() -> None:
    """The message says which item of which list."""
    page = json.loads(dump(Page([SEARCH, SEARCH], None)))
    page["items"][1]["best"]["noises"] = 1.5
    with pytest.raises(InvalidInput, match=re.escape("items[1].best.noises is a whole number, got 1.5")):
        decode(Page[Search, str], page)


def test_an_answer_of_an_older_service_is_read() -> None:
    """Its results had no problem of their own, no name of the winner, and the baseline's second score apart."""
    value = Published(RESULT.schedule.digest, "a" * 16, "s", NOW, RESULT)
    data = {key: part for key, part in encode(value).items() if key not in ("problem", "name", "stages")}
    data["baseline"] = {key: data["baseline"][key] for key in ("name", "score", "schedule")}
    read = decode(Published, data).result
    assert read.winner.name == ""
    assert (read.problem, read.baseline, read.winner.score) == (RESULT.problem, RESULT.baseline, RESULT.winner.score)


def test_numbers_that_json_lacks_are_refused() -> None:
    """NaN and infinity have no text."""
    with pytest.raises(InvalidInput, match="finite"):
        dump(Interval(0.0, float("inf")))


@pytest.mark.parametrize(
    ("text", "stage", "name"),
    [
        ("baseline dpmpp-2m quadratic", "baselines", "dpmpp-2m quadratic"),
        ("seed ddim score-optimal", "arc-length", "ddim score-optimal"),
        ("mutation", "guided", "mutation"),
        ("uniform", "guided", "uniform"),
        ("tpe", "guided", "tpe"),
        ("nested", "warm-start", ""),
        ("fit", "fit", ""),
        ("fit closed-loop", "time-search", ""),
        ("polish", "polish", ""),
        ("my-stage: its name", "my-stage", "its name"),
        ("my-stage:", "my-stage", ""),
        ("", "guided", ""),
        ("fitting: room", "fitting", "room"),
        ("Whatever was written: once", "guided", "Whatever was written: once"),
    ],
)
def test_an_origin_is_one_text(text: str, stage: str, name: str) -> None:
    """Every text that was ever stored means an origin, whose text it is."""
    origin = Origin.parse(text)
    assert (origin, str(origin)) == (Origin(stage, name), text)


@pytest.mark.parametrize(
    ("stage", "name"), [("guided", "baseline x"), ("guided", "polish"), ("fit", "closed-loop"), ("My stage", "x")]
)
def test_an_origin_that_would_be_read_as_another_is_refused(stage: str, name: str) -> None:
    """No text has two meanings."""
    with pytest.raises(InvalidInput, match="name the stage in lower case"):
        Origin(stage, name)


def test_options_are_the_fields_with_a_default() -> None:
    """Keywords of `find` and `Client.submit` are a problem's fields, by name and type."""
    optional = [each.name for each in fields(Problem) if (each.default, each.default_factory) != (MISSING, MISSING)]
    hints = get_type_hints(Problem)
    assert get_type_hints(Options) == {name: hints[name] for name in optional}


def test_ranges_follow_from_what_is_said() -> None:
    """A field of a new class is checked without a line of code of its own."""
    kind = make_dataclass("Kind", [("size", Annotated[int, About("How large", low=1, high=5)])], frozen=True)
    check(kind(5))
    with pytest.raises(InvalidInput, match="a kind's size is a whole number from 1 to 5, got 6"):
        check(kind(6), "a kind's ")


def test_no_other_file_lists_the_fields_of_a_problem() -> None:
    """A new field is a line in its class, a migration and its page: nowhere else do most of the names stand together.

    The tables of storage have a column for each; there the migration is written beside.
    """
    names = {each.name for each in field_specs(Problem)} - {
        "model",
        "nfe",
        "metric",
    }  # these three have uses of their own
    lists = set()
    for folder in ("fewstep", "search", "predictor", "storage", "api"):
        for path in (ROOT / folder).rglob("*.py"):
            words = set(re.findall(r"^\s*\"?(\w+)\"?\s*[:=]|\b(\w+)=", path.read_text(), re.MULTILINE))
            if len(names & {word for pair in words for word in pair}) > len(names) / 2:
                lists.add(str(path.relative_to(ROOT)))
    assert lists == {"fewstep/values/problem.py", "storage/tables.py"}
