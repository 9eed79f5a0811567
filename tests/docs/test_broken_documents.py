"""Broken documents: the JSON Schema and `Schedule.from_json` refuse the same ones, each as far as it can see."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import fewstep
from fewstep import Schedule, Step, processes
from fewstep.errors import InvalidSchedule

READER = Draft202012Validator(json.loads((Path(fewstep.__file__).parent / "schedule.schema.json").read_text()))


@pytest.fixture
def stored() -> dict[str, Any]:
    """A valid document without digests, which would refuse every edit; two calls by hand and one average of them."""
    law = processes.VPLinear()
    steps = (Step(corrector=2), Step(order=2, eta=0.5), Step(order=2, weights=(1.5, -0.5)))
    made: dict[str, Any] = Schedule(law, (1.0, 0.6, 0.3, 0.1), steps).to_dict()
    del made["digest"], made["tableau_digest"]
    return made


def put(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    """An edit that sets one entry."""

    def edit(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return edit


def drop(*path: str | int) -> Callable[[dict[str, Any]], None]:
    """An edit that takes one entry away."""

    def edit(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        del data[path[-1]]

    return edit


BROKEN = {
    "another format": put("format", value="schedule"),
    "no format": drop("format"),
    "another version": put("version", value=3),
    "guidance in version 1": put("guidance", value=[1.0, 2.0, 1.0]),
    "guidance in a tableau of version 1": put("tableau", "guidance", value=[1.0, 2.0, 1.0]),
    "a version in words": put("version", value="1"),
    "an unknown entry": put("comment", value="mine"),
    "no process": drop("process"),
    "no times": drop("times"),
    "no steps": drop("steps"),
    "no tableau": drop("tableau"),
    "a process without kind": drop("process", "kind"),
    "an unknown kind": put("process", "kind", value="sub-vp"),
    "an unknown parameter": put("process", "gamma", value=1.0),
    "a parameter in words": put("process", "beta_min", value="0.1"),
    "a parameter out of range": put("process", "beta_min", value=0.0),
    "a flow without shift": put("process", value={"kind": "flow", "shift": 0}),
    "a table of one entry": put("process", value={"kind": "discrete", "alphas_cumprod": [0.5]}),
    "a table below zero": put("process", value={"kind": "discrete", "alphas_cumprod": [0.9, 0.5, -0.1]}),
    "no table": put("process", value={"kind": "discrete"}),
    "a shift that is no object": put("shift", value=True),
    "a shift without window": put("shift", value={"cutoff": 0.0}),
    "a window of nothing": put("shift", value={"window": 0.0, "cutoff": 0.0}),
    "a cutoff in words": put("shift", value={"window": 0.1, "cutoff": "late"}),
    "an unknown target": put("shift", value={"window": 0.1, "cutoff": 0.0, "target": "best"}),
    "an unknown mode": put("shift", value={"window": 0.1, "cutoff": 0.0, "mode": "both"}),
    "a calibrated shift without variance": put("shift", value={"window": 0.1, "cutoff": 0.0, "target": "calibrated"}),
    "a paper's shift with variance": put("shift", value={"window": 0.1, "cutoff": 0.0, "variance": 0.5}),
    "a shift with another entry": put("shift", value={"window": 0.1, "cutoff": 0.0, "width": 0.1}),
    "times that are no list": put("times", value=1.0),
    "a time in words": put("times", 1, value="0.6"),
    "no time": put("times", 1, value=None),
    "one time": put("times", value=[1.0]),
    "no step": put("steps", value=[]),
    "a step that is no object": put("steps", 0, value="ddim"),
    "an unknown choice": put("steps", 0, "method", value="ddim"),
    "an unknown prediction": put("steps", 0, "prediction", value="velocity"),
    "order 0": put("steps", 1, "order", value=0),
    "order 5": put("steps", 1, "order", value=5),
    "half an order": put("steps", 1, "order", value=1.5),
    "an order that is true": put("steps", 0, "order", value=True),
    "an unknown scale": put("steps", 1, "scale", value="bh3"),
    "a slope in words": put("steps", 1, "slope", value="steep"),
    "a start ahead": put("steps", 1, "start", value=0),
    "a start too far back": put("steps", 1, "start", value=-5),
    "an unknown variable": put("steps", 1, "variable", value="sigma"),
    "a point ahead": put("steps", 1, "points", value=[[0]]),
    "a point named twice": put("steps", 1, "points", value=[[-2, -2]]),
    "points that are no lists": put("steps", 1, "points", value=[-2]),
    "a derivative from nothing": put("steps", 1, "points", value=[[]]),
    "weights in words": put("steps", 2, "weights", value=["1.5", "-0.5"]),
    "weights with a corrector": put("steps", 2, "corrector", value=2),
    "weights with fresh noise": put("steps", 2, "eta", value=0.5),
    "a corrector of order 1": put("steps", 0, "corrector", value=1),
    "a corrector of order 6": put("steps", 0, "corrector", value=6),
    "an unknown corrector scale": put("steps", 0, "corrector_scale", value="bh3"),
    "less than no noise": put("steps", 1, "eta", value=-0.1),
    "more than all noise": put("steps", 1, "eta", value=1.1),
    "an unknown kind of noise": put("steps", 1, "noise", value="pink"),
    "velocity scaled by an exponential": put("steps", 0, value={"variable": "velocity", "order": 1, "scale": "bh2"}),
    "an offset in words": put("steps", 1, "offset", value="later"),
    "no rows": drop("tableau", "outputs"),
    "an unknown table": put("tableau", "inputs", value=[]),
    "a row that is no list": put("tableau", "outputs", 0, value=1.0),
    "a weight in words": put("tableau", "outputs", 0, 0, value="1"),
    "a weight that is nothing": put("tableau", "start", 0, value=None),
    "an empty tableau": put(
        "tableau", value={"times": [], "network_times": [], "start": [], "outputs": [], "noise": []}
    ),
    "a digest that is none": put("digest", value="abc"),
    "a digest in capitals": put("tableau_digest", value="A" * 64),
}

ONLY_READ = {
    "rising times": put("times", 1, value=1.5),
    "a missing time": drop("times", 1),
    "an order without history": put("steps", 0, "order", value=2),
    "points for another order": put("steps", 1, "points", value=[[-2], [-2]]),
    "a corrector beyond the order": put("steps", 0, "corrector", value=3),
    "a corrector after the last call": put("steps", 2, value={"order": 1, "corrector": 2}),
    "weights that do not add up": put("steps", 2, "weights", value=[1.5, 0.5]),
    "noise in a noise step of second order": put("steps", 1, "prediction", value="noise"),
    "a table of alphas that rises": put("process", value={"kind": "discrete", "alphas_cumprod": [0.5, 0.9]}),
    "an upper triangle": put("tableau", "outputs", 0, 1, value=1.0),
    "a row too short": put("tableau", "outputs", 2, value=[0.0, 1.0]),
    "tableau times beside the schedule's": put("tableau", "times", 1, value=0.61),
    "a digest of something else": put("digest", value="0" * 64),
}


def test_the_document_that_is_broken_is_whole(stored: dict[str, Any]) -> None:
    """Before the edit both accept it, so that what refuses it afterwards is the edit."""
    READER.validate(stored)
    assert Schedule.from_json(json.dumps(stored)).nfe == 3


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_document_is_refused_by_both(stored: dict[str, Any], what: str) -> None:
    """Whatever has the wrong shape, type, word or range, neither the schema nor the reader lets through."""
    BROKEN[what](stored)
    assert not READER.is_valid(stored)
    with pytest.raises(InvalidSchedule):
        Schedule.from_json(json.dumps(stored))


@pytest.mark.parametrize("what", ONLY_READ)
def test_what_a_schema_cannot_say_is_refused_by_the_reader(stored: dict[str, Any], what: str) -> None:
    """Rules between entries: the schema lets them through, `from_json` does not."""
    ONLY_READ[what](stored)
    READER.validate(stored)
    with pytest.raises(InvalidSchedule):
        Schedule.from_json(json.dumps(stored))


def test_changes_of_meaning_change_a_version(stored: dict[str, Any]) -> None:
    """The reader of versions 1 and 2 reads these: a newer document names the versions that it can be read in."""
    newer = stored | {"version": 3}
    with pytest.raises(InvalidSchedule, match="reads schedule versions 1 and 2, got 3"):
        Schedule.from_dict(newer)
