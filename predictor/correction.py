"""What lessons say of new schedules: a correction of the physics' forecast, linear in the pooled columns.

    f(x) = z·w + level,   w = γ w_other + `OWN` Δ,   z = (x − median)/`UNIT`, cut off at `OUTLIER`

Both w_other and Δ are ridge regressions of the deviations d on z, each lesson centred by itself, so that only
differences between schedules of one search count: w_other over lessons of other models, Δ over the model's own lessons,
fitted to what γ w_other leaves. How far other models are trusted, γ, is found by leaving out one of their lessons at a
time: it is the slope of that lesson's deviations over their forecast from the rest, between 0 and 1, where one lesson
more is made up whose slope is the cautious `DOUBT`.

The unit is the same for all columns and lessons: in units of its spread, a column that hardly varied in a lesson, as
most do where all schedules were hand-made, would be given a slope that misleads wherever it varies more.

| symbol | meaning | shape |
|---|---|---|
| x | ``Lesson.features`` | (n, P) |
| d | ``Lesson.deviations``, at most `FAR` from the lesson's median | (n,) |
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fewstep.predictor.lesson import COLUMNS, Lesson

__all__ = ["Correction", "learn"]

UNIT = 0.3  # of every column; a typical spread
RIDGE = 100.0  # in rows of unit spread
OUTLIER = 3.0
FAR = 1.0  # of log(score)
OWN = 0.75  # trust in the model's own lessons: their schedules may be of another kind than those to forecast
DOUBT = 0.5  # trust in the lesson of one other model


class _Part(NamedTuple):
    """One lesson, centred: ``z`` (n, P) and ``d`` (n,)."""

    z: np.ndarray
    d: np.ndarray


def _nothing(pooled: np.ndarray) -> np.ndarray:
    return np.zeros(len(pooled))


Correction = Callable[[np.ndarray], np.ndarray]
"""Pooled columns (M, P) -> what to add to the forecasts of log(score), (M,)."""


def learn(own: Sequence[Lesson], other: Sequence[Lesson]) -> Correction:
    """The correction from lessons of the model itself, at other numbers of calls, and of other models."""
    lessons = [*own, *other]
    if not lessons:
        return _nothing
    rows = [np.array(lesson.features) for lesson in lessons]
    centre = np.median(np.concatenate(rows), axis=0)

    def standard(pooled: np.ndarray) -> np.ndarray:
        cut: np.ndarray = np.clip((pooled - centre) / UNIT, -OUTLIER, OUTLIER)
        return cut

    parts = [_centred(standard(x), np.array(lesson.deviations)) for x, lesson in zip(rows, lessons, strict=True)]
    mine, others = parts[: len(own)], parts[len(own) :]
    far = _trust(others) * _ridge(others)
    weights = far + OWN * _ridge([_Part(z, d - z @ far) for z, d in mine])
    middle = np.mean([standard(x).mean(axis=0) for x in rows[: len(own)] or rows], axis=0)
    level = sum(float(np.median(lesson.deviations)) for lesson in own) / (len(own) + 1)  # one lesson of doubt

    def correct(pooled: np.ndarray) -> np.ndarray:
        moved: np.ndarray = level + np.sum((standard(pooled) - middle) * weights, axis=1)
        return moved

    return correct


def _centred(z: np.ndarray, deviations: np.ndarray) -> _Part:
    middle = np.median(deviations)
    d = np.clip(deviations - middle, -FAR, FAR)
    return _Part(z - z.mean(axis=0), d - d.mean())


def _ridge(parts: Sequence[_Part]) -> np.ndarray:
    """Weights (P,); zeros of no lessons."""
    gram, moment = RIDGE * np.eye(len(COLUMNS)), np.zeros(len(COLUMNS))
    for z, d in parts:
        gram += z.T @ z
        moment += z.T @ d
    weights: np.ndarray = np.linalg.solve(gram, moment)
    return weights


def _trust(parts: Sequence[_Part]) -> float:
    """γ of lessons of other models."""
    if len(parts) < 2:
        return DOUBT
    pairs = [(z @ _ridge([*parts[:i], *parts[i + 1 :]]), d) for i, (z, d) in enumerate(parts)]
    known = np.array([[forecast @ d, forecast @ forecast] for forecast, d in pairs])  # (L, 2)
    covariance, variance = known.sum(axis=0) + known[:, 1].mean() * np.array([DOUBT, 1.0])
    return float(np.clip(covariance / max(variance, np.finfo(float).tiny), 0.0, 1.0))
