"""Correction of the physics forecast by transfer records: ridge regression on the pooled columns.

    f(x) = z·w + level,   w = γ w_other + `TRUST` Δ,   z = (x − median)/`UNIT`, clipped at `OUTLIER`

Both w_other and Δ are ridge regressions of the deviations d on z, each record centred by itself, so that only
differences between schedules of one search count: w_other over records of other models, Δ over records of the same
model, fitted to what γ w_other leaves. How far other models are trusted, γ, is estimated by leave-one-out: the slope of
a record's deviations over their forecast from the other records, between 0 and 1, shrunk by one pseudo-record whose
slope is the cautious `DOUBT`.

The unit is the same for all columns and records: in units of its spread, a column that hardly varied in a record, as
most do where all schedules were baselines, would get a slope that misleads wherever it varies more.

| symbol | meaning | shape |
|---|---|---|
| x | ``TransferRecord.features`` | (n, P) |
| d | ``TransferRecord.deviations``, at most `FAR` from the record's median | (n,) |
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fewstep.predictor.transfer import COLUMNS, TransferRecord

__all__ = ["Correction", "learn"]

UNIT = 0.3  # of every column; a typical spread
RIDGE = 100.0  # in rows of unit spread
OUTLIER = 3.0
FAR = 1.0  # of log(score)
TRUST = 0.75  # in records of the same model: their schedules may be of another kind than those to forecast
DOUBT = 0.5  # trust in the record of one other model


class _Part(NamedTuple):
    """One record, centred: ``z`` (n, P) and ``d`` (n,)."""

    z: np.ndarray
    d: np.ndarray


def _zero(pooled: np.ndarray) -> np.ndarray:
    return np.zeros(len(pooled))


Correction = Callable[[np.ndarray], np.ndarray]
"""Pooled columns (M, P) -> what to add to the forecasts of log(score), (M,)."""


def learn(of_model: Sequence[TransferRecord], of_others: Sequence[TransferRecord]) -> Correction:
    """The correction from records of the model itself, at other NFE, and of other models."""
    records = [*of_model, *of_others]
    if not records:
        return _zero
    rows = [np.array(record.features) for record in records]
    centre = np.median(np.concatenate(rows), axis=0)

    def standard(pooled: np.ndarray) -> np.ndarray:
        clipped: np.ndarray = np.clip((pooled - centre) / UNIT, -OUTLIER, OUTLIER)
        return clipped

    parts = [_centred(standard(x), np.array(record.deviations)) for x, record in zip(rows, records, strict=True)]
    near, far = parts[: len(of_model)], parts[len(of_model) :]
    prior = _trust(far) * _ridge(far)
    weights = prior + TRUST * _ridge([_Part(z, d - z @ prior) for z, d in near])
    middle = np.mean([standard(x).mean(axis=0) for x in rows[: len(of_model)] or rows], axis=0)
    levels = [float(np.median(record.deviations)) for record in of_model]
    level = sum(levels) / (len(levels) + 1)  # one record of level 0 more: caution

    def correct(pooled: np.ndarray) -> np.ndarray:
        correction: np.ndarray = level + np.sum((standard(pooled) - middle) * weights, axis=1)
        return correction

    return correct


def _centred(z: np.ndarray, deviations: np.ndarray) -> _Part:
    middle = np.median(deviations)
    d = np.clip(deviations - middle, -FAR, FAR)
    return _Part(z - z.mean(axis=0), d - d.mean())


def _ridge(parts: Sequence[_Part]) -> np.ndarray:
    """Weights (P,); zeros without parts."""
    gram, moment = RIDGE * np.eye(len(COLUMNS)), np.zeros(len(COLUMNS))
    for z, d in parts:
        gram += z.T @ z
        moment += z.T @ d
    weights: np.ndarray = np.linalg.solve(gram, moment)
    return weights


def _trust(parts: Sequence[_Part]) -> float:
    """γ of records of other models."""
    if len(parts) < 2:
        return DOUBT
    pairs = [(z @ _ridge([*parts[:i], *parts[i + 1 :]]), d) for i, (z, d) in enumerate(parts)]
    moments = np.array([[forecast @ d, forecast @ forecast] for forecast, d in pairs])  # (L, 2)
    covariance, variance = moments.sum(axis=0) + moments[:, 1].mean() * np.array([DOUBT, 1.0])
    return float(np.clip(covariance / max(variance, np.finfo(float).tiny), 0.0, 1.0))
