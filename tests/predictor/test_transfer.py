"""Transfer records: what goes in comes out, garbage does not come in, and they hold no more than they should."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fewstep import Schedule, compile
from fewstep.errors import InvalidInput
from fewstep.predictor import Lesson, Ranker, TransferRecord, ranker
from fewstep.predictor.train import log_score
from fewstep.predictor.transfer import COLUMNS, LIMIT, MOST, readable
from fewstep.trajectory import Trajectories
from fewstep.values.objective import DEFAULT
from fewstep.values.problem import Problem
from fewstep.values.rankers import Transfers
from fewstep.values.trial import Trial
from tests.trials import with_schedule

WIDTH = len(COLUMNS)
SMALL = TransferRecord(6, ((0.5,) * WIDTH, (-0.25,) * WIDTH), (0.1, -0.2), model="mine")


@pytest.fixture(scope="module")
def teacher(trajectories: Trajectories) -> Ranker:
    """A ranker that knows whose model it ranks for."""
    return ranker(trajectories, model="digits-mixture")


def test_a_record_survives_json(teacher: Ranker, known: list[Trial]):
    """The record of real trials comes back equal from its text and from its plain values, and takes a few kB."""
    record = teacher.transfer_record(known)
    assert TransferRecord.from_json(record.to_json()) == record
    assert TransferRecord.from_dict(record.to_dict()) == record
    assert len(record.to_json()) < 80 * len(known)


def test_a_record_says_how_far_scores_lay_from_physics(teacher: Ranker, known: list[Trial]):
    """Deviations are log scores less what the same ranker forecasts with nothing evaluated, to three decimals."""
    record = teacher.transfer_record(known)
    forecast = teacher([], [trial.schedule for trial in known]).mean
    np.testing.assert_allclose(record.deviations, [log_score(t) for t in known] - forecast, atol=6e-4)
    assert (record.nfe, record.metric, record.model) == (6, DEFAULT, "digits-mixture")


def test_a_record_is_short_and_bounded():
    """Of many rows some are kept, evenly; numbers beyond the limit are cut off."""
    count = 3 * MOST
    record = TransferRecord.of(np.full((count, WIDTH), 1e9), np.linspace(-1, 1, count), nfe=4)
    assert len(record.deviations) == len(record.features) == MOST
    assert set(record.features[0]) == {LIMIT}
    assert record.deviations[0] == -1
    assert record.deviations[-1] == 1
    assert max(np.diff(record.deviations)) < 0.02


def test_failed_and_fitted_trials_are_left_out(teacher: Ranker, known: list[Trial]):
    """Neither a trial without score nor a fitted schedule is in a record."""
    rows = compile(known[0].schedule)
    fitted = Schedule(known[0].schedule.process, known[0].schedule.times, known[0].schedule.steps, rows)
    others = [with_schedule(known[0], fitted), replace(known[1], score=None)]
    assert teacher.transfer_record([*others, *known[2:]]) == teacher.transfer_record(known[2:])
    with pytest.raises(InvalidInput, match="none"):
        teacher.transfer_record(others)


def test_a_record_is_of_one_number_of_calls(teacher: Ranker, known: list[Trial], short: list[Schedule]):
    """Trials of several searches at once are refused, with their numbers of calls."""
    with pytest.raises(InvalidInput, match=r"\[4, 6\]"):
        teacher.transfer_record([*known, with_schedule(known[0], short[0])])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d | {"format": "fewstep.schedule"}, "fewstep.lesson"),
        (lambda d: d | {"version": 2}, "version 2 is not 1"),
        (lambda d: d | {"version": True}, "version True is not 1"),
        (lambda d: d | {"extra": 1}, "extra"),
        (lambda d: {key: d[key] for key in d if key != "nfe"}, "entries"),
        (lambda d: d | {"nfe": 0}, "nfe"),
        (lambda d: d | {"nfe": 6.0}, "nfe"),
        (lambda d: d | {"metric": "beauty"}, "unknown metric"),
        (lambda d: d | {"model": None}, "model"),
        (lambda d: d | {"features": {}}, "features is a list"),
        (lambda d: d | {"features": [], "deviations": []}, "1 to 200 rows"),
        (lambda d: d | {"deviations": [0.1]}, "a deviation for each"),
        (lambda d: d | {"features": [[0.0] * (WIDTH - 1)] * 2}, r"features\[0\] has one number"),
        (lambda d: d | {"features": [[0.0] * WIDTH, 3]}, r"features\[1\] is a list"),
        (lambda d: d | {"deviations": [0.1, "0.2"]}, r"deviations\[1\]"),
        (lambda d: d | {"deviations": [True, 0.2]}, r"deviations\[0\]"),
        (lambda d: d | {"deviations": [0.1, float("nan")]}, r"deviations\[1\]"),
        (lambda d: d | {"deviations": [0.1, 10**400]}, r"deviations\[1\]"),
        (lambda d: [d], "got list"),
    ],
)
def test_garbage_is_refused(change: Callable[[dict[str, Any]], Any], message: str):
    """Stored records that this version did not write raise, and the message says what is wrong."""
    with pytest.raises(InvalidInput, match=message):
        TransferRecord.from_dict(change(SMALL.to_dict()))


@pytest.mark.parametrize("text", ["", "{", "null", "[]", b"\xff", "[" * 100_000, json.dumps({"format": "x"})])
def test_text_that_is_no_lesson_is_refused(text: str | bytes):
    """Broken JSON, other JSON, bytes that are no text, nesting without end."""
    with pytest.raises(InvalidInput, match="a transfer record is"):
        TransferRecord.from_json(text)


def test_records_of_other_versions_are_left_out():
    """Of many texts, those that this version wrote are read."""
    assert readable([SMALL.to_json(), '{"format": "fewstep.lesson", "version": 99}', "{"]) == [SMALL]


def test_the_format_of_the_first_release_is_read():
    """Records that are stored already load, under the old name too."""
    stored = '{"format":"fewstep.lesson","version":1,"model":"","nfe":4,"metric":"endpoint","features":[%s],%s}'
    text = stored % (json.dumps([0.5] * WIDTH), '"deviations":[0.1]')
    assert Lesson.from_json(text) == TransferRecord(4, ((0.5,) * WIDTH,), (0.1,), "rms")


def test_a_ranker_learns_records_and_leaves_one(trajectories: Trajectories, known: list[Trial], teacher: Ranker):
    """As text, through what rankers that transfer have: forecasts are those of one that had the records from the
    start, what it cannot read counts for nothing, and its own record names the search's model."""
    learning, wanted = ranker(trajectories), [trial.schedule for trial in known[:20]]
    assert isinstance(learning, Transfers)
    learning(known[20:40], wanted)
    learning.learn([teacher.transfer_record(known).to_json(), "{"])
    expected = ranker(trajectories, transfer=[teacher.transfer_record(known)])(known[20:40], wanted)
    np.testing.assert_array_equal(learning(known[20:40], wanted).mean, expected.mean)
    problem = Problem("digits-mixture", known[0].schedule.nfe)
    assert learning.record(problem, known) == teacher.transfer_record(known).to_json()
    assert learning.record(problem, []) is None
