"""Lessons: what goes in comes out, garbage does not come in, and they hold no more than they should."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fewstep import Schedule, compile
from fewstep.errors import InvalidInput
from fewstep.predictor import Lesson, Ranker, ranker
from fewstep.predictor.lesson import COLUMNS, LIMIT, MOST
from fewstep.predictor.train import log_score
from fewstep.trajectory import Trajectories
from fewstep.values.trial import Trial

WIDTH = len(COLUMNS)
SMALL = Lesson(6, ((0.5,) * WIDTH, (-0.25,) * WIDTH), (0.1, -0.2), model="mine")


@pytest.fixture(scope="module")
def teacher(trajectories: Trajectories) -> Ranker:
    """A ranker that knows whose model it ranks for."""
    return ranker(trajectories, model="digits-mixture")


def test_a_lesson_survives_json(teacher: Ranker, known: list[Trial]):
    """The lesson of real trials comes back equal from its text and from its plain values, and takes a few kB."""
    lesson = teacher.lesson(known)
    assert Lesson.from_json(lesson.to_json()) == lesson
    assert Lesson.from_dict(lesson.to_dict()) == lesson
    assert len(lesson.to_json()) < 80 * len(known)


def test_a_lesson_says_how_far_scores_lay_from_physics(teacher: Ranker, known: list[Trial]):
    """Deviations are log scores less what the same ranker forecasts with nothing evaluated, to three decimals."""
    lesson = teacher.lesson(known)
    forecast = teacher([], [trial.schedule for trial in known]).mean
    np.testing.assert_allclose(lesson.deviations, [log_score(t) for t in known] - forecast, atol=6e-4)
    assert (lesson.nfe, lesson.metric, lesson.model) == (6, "endpoint", "digits-mixture")


def test_a_lesson_is_short_and_bounded():
    """Of many rows some are kept, evenly; numbers beyond the limit are cut off."""
    count = 3 * MOST
    lesson = Lesson.of(np.full((count, WIDTH), 1e9), np.linspace(-1, 1, count), nfe=4)
    assert len(lesson.deviations) == len(lesson.features) == MOST
    assert set(lesson.features[0]) == {LIMIT}
    assert lesson.deviations[0] == -1
    assert lesson.deviations[-1] == 1
    assert max(np.diff(lesson.deviations)) < 0.02


def test_failed_and_fitted_trials_teach_nothing(teacher: Ranker, known: list[Trial]):
    """Neither a trial without score nor a schedule with rows of its own is in a lesson."""
    rows = compile(known[0].schedule)
    fitted = Schedule(known[0].schedule.process, known[0].schedule.times, known[0].schedule.steps, rows)
    others = [replace(known[0], schedule=fitted), replace(known[1], score=None)]
    assert teacher.lesson([*others, *known[2:]]) == teacher.lesson(known[2:])
    with pytest.raises(InvalidInput, match="none"):
        teacher.lesson(others)


def test_a_lesson_is_of_one_number_of_calls(teacher: Ranker, known: list[Trial], short: list[Schedule]):
    """Trials of several searches at once are refused, with their numbers of calls."""
    with pytest.raises(InvalidInput, match=r"\[4, 6\]"):
        teacher.lesson([*known, replace(known[0], schedule=short[0])])


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
    """Stored lessons that this version did not write raise, and the message says what is wrong."""
    with pytest.raises(InvalidInput, match=message):
        Lesson.from_dict(change(SMALL.to_dict()))


@pytest.mark.parametrize("text", ["", "{", "null", "[]", b"\xff", "[" * 100_000, json.dumps({"format": "x"})])
def test_text_that_is_no_lesson_is_refused(text: str | bytes):
    """Broken JSON, other JSON, bytes that are no text, nesting without end."""
    with pytest.raises(InvalidInput, match="a lesson is"):
        Lesson.from_json(text)
