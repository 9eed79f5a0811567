"""A measured grid as a document, both ways."""

import json

import pytest

from fewstep import processes
from fewstep.errors import InvalidInput
from fewstep.grids.arc_length import ArcLength
from fewstep.grids.measured import MeasuredGrid
from tests.storage.samples import PROCESS, arc


def test_the_times_are_those_of_the_curve() -> None:
    """For the calls and the blend asked for."""
    grid = MeasuredGrid.of(arc(), "m", 5, 0.4)
    assert grid.times == arc().times(5, 0.4)
    assert (grid.nfe, grid.blend, grid.curve.process) == (5, 0.4, PROCESS)


def test_it_survives_json() -> None:
    """Every number of the times and of the curve."""
    text = MeasuredGrid.of(arc(), "m", 5).to_json()
    again = MeasuredGrid.from_dict(json.loads(text))
    assert again.to_json() == text
    assert again.times == arc().times(5)
    assert ArcLength.from_dict(arc().to_dict()).to_dict() == arc().to_dict()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "fewstep.schedule"}, '"format": "fewstep.grid"'),
        ({"version": 2}, '"version": 1'),
        ({"times": [1.0, 0.5]}, "nfe \\+ 1 times, got nfe 5 and"),
        ({"times": "falling"}, "nfe \\+ 1 times, got nfe 5 and falling"),
        ({"nfe": "5"}, "got nfe '5'"),
        ({"times": [1.0, 0.8, 0.9, 0.5, 0.2, 0.0]}, "the times of a grid fall"),
        ({"times": [1.0, 0.8, "x", 0.5, 0.2, 0.0]}, "times.2. is a finite number"),
        ({"blend": None}, "blend is a finite number"),
        ({"curve": {}}, "an object with process, kind, log_snrs, lengths"),
        ({"curve": arc().to_dict() | {"colour": "red"}}, "optionally samples, source, calls"),
        ({"curve": arc().to_dict() | {"lengths": ["a"] * 91}}, "lists of numbers"),
        ({"curve": arc().to_dict() | {"lengths": [0.0, 1.0]}}, "of the same shape"),
        ({"curve": arc().to_dict() | {"process": processes.to_dict(PROCESS) | {"kind": "magic"}}}, "magic"),
    ],
)
def test_other_documents_are_refused(change: dict[str, object], words: str) -> None:
    """With what was wanted, and what was given."""
    with pytest.raises(InvalidInput, match=words):
        MeasuredGrid.from_dict(MeasuredGrid.of(arc(), "m", 5).to_dict() | change)


def test_what_is_missing_is_named() -> None:
    """So is something that is no object."""
    told = MeasuredGrid.of(arc(), "m", 5).to_dict()
    del told["blend"]
    with pytest.raises(InvalidInput, match="the grid has no blend; it has format"):
        MeasuredGrid.from_dict(told)
    with pytest.raises(InvalidInput, match="got list"):
        MeasuredGrid.from_dict([told])
