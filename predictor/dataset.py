"""Feature tables of schedules, cached by schedule: a search forecasts from the same trials again and again.

| feature set | features | prior: forecast without trials |
|---|---|---|
| ``tableau`` | λ-gaps, choices and tableau entries (`fewstep.predictor.encode`) | none: all schedules alike |
| ``replay`` | open-loop residuals: each row, their maximum and mean | the worst row's residual |
| ``all`` | all physics forecasts, their maxima, mean of the open loop | closed loop's end, some modes |
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fewstep.errors import InvalidInput, UnknownName
from fewstep.multistep import compile_all
from fewstep.predictor.encode import encode, encode_guidance, encode_shifts
from fewstep.predictor.physics import Physics
from fewstep.schedule import Schedule
from fewstep.tableau import Tableau
from fewstep.trajectory import Trajectories

__all__ = ["EMPTY", "FEATURE_SETS", "Dataset", "Table"]

MODES_SHARE = 0.1  # weight of the mixtures in the prior; 0.1 and 0.15 rank alike, 0.2 worse
CACHED = 20_000  # schedules; about 40 MB


class Table(NamedTuple):
    """``features`` (M, F) and ``prior`` (M,), the forecast of log(score) without trials.

    ``shifts`` (M, 4) are the time shifts and ``guidance`` (M, N + 1) that of the calls, which no other field holds.
    ``pooled`` (M, P) are the columns of transfer records, `fewstep.predictor.transfer.COLUMNS`, in the feature set
    "all", else none (P = 0); ``correction`` (M,) is added to the prior by transfer records.
    """

    features: np.ndarray
    prior: np.ndarray
    shifts: np.ndarray
    guidance: np.ndarray
    pooled: np.ndarray
    correction: np.ndarray

    def with_shifts(self) -> "Table":
        """With the time shifts among the features."""
        return self._replace(features=np.column_stack([self.features, self.shifts]))

    def with_guidance(self) -> "Table":
        """With the guidance of the calls among the features."""
        return self._replace(features=np.column_stack([self.features, self.guidance]))

    def with_correction(self) -> "Table":
        """With the correction among the features."""
        return self._replace(features=np.column_stack([self.features, self.correction]))

    def of(self, rows: np.ndarray) -> "Table":
        """Some of its rows."""
        return Table(*(part[rows] for part in self))


EMPTY = Table(*(np.zeros(shape) for shape in ((0, 0), 0, *[(0, 0)] * 3, 0)))  # of no schedule


def _tableau(physics: Physics, schedules: Sequence[Schedule], tableaus: Sequence[Tableau]) -> Table:
    zeros = np.zeros(len(schedules))
    features, shifts = encode(schedules, tableaus), encode_shifts(schedules)
    return Table(features, zeros, shifts, encode_guidance(schedules), zeros[:, None][:, :0], zeros)


def _replay(physics: Physics, schedules: Sequence[Schedule], tableaus: Sequence[Tableau]) -> Table:
    rows = physics(tableaus)[:, 0]  # (M, N)
    worst = rows.max(axis=1)
    features, shifts = np.column_stack([rows, worst, rows.mean(axis=1)]), encode_shifts(schedules)
    return Table(features, worst, shifts, encode_guidance(schedules), rows[:, :0], np.zeros(len(rows)))


def _all(physics: Physics, schedules: Sequence[Schedule], tableaus: Sequence[Tableau]) -> Table:
    logs = physics(tableaus)  # (M, C, N)
    modes = physics.modes(tableaus)  # (M, 2)
    worst = logs.max(axis=2)  # (M, C)
    closed = logs[:, 1:-1, -1].mean(axis=1)
    prior = (1 - MODES_SHARE) * closed + MODES_SHARE * modes.mean(axis=1)
    features = np.column_stack([logs.reshape(len(logs), -1), worst, logs[:, 0].mean(axis=1), modes])
    pooled = np.column_stack([worst, modes]) - prior[:, None]
    return Table(features, prior, encode_shifts(schedules), encode_guidance(schedules), pooled, np.zeros(len(logs)))


FEATURE_SETS: dict[str, Callable[[Physics, Sequence[Schedule], Sequence[Tableau]], Table]] = {
    "tableau": _tableau,
    "replay": _replay,
    "all": _all,
}


class Dataset:
    """Tables of schedules of the trajectories' process; ``features`` is one of `FEATURE_SETS`."""

    def __init__(self, trajectories: Trajectories, features: str = "all") -> None:
        if features not in FEATURE_SETS:
            raise UnknownName("feature set", features, FEATURE_SETS)
        self._process, self._physics = trajectories.process, Physics(trajectories)
        self._featurise = FEATURE_SETS[features]
        self._cache: dict[Schedule, tuple[np.ndarray, ...]] = {}

    def __call__(self, schedules: Sequence[Schedule]) -> Table:
        """The table of at least one schedule, all of one NFE; raises `InvalidInput`."""
        missing = [schedule for schedule in dict.fromkeys(schedules) if schedule not in self._cache]
        for schedule in missing:
            if schedule.process != self._process:
                raise InvalidInput(
                    f"a schedule was made for {schedule.process}, but the trajectories for {self._process}"
                )
        if missing:
            table = self._featurise(self._physics, missing, compile_all(missing))
            self._cache |= zip(missing, zip(*table, strict=True), strict=True)
        rows = [self._cache[schedule] for schedule in schedules]
        for old in list(self._cache)[: max(len(self._cache) - CACHED, 0)]:
            del self._cache[old]
        return Table(*(np.array(part) for part in zip(*rows, strict=True)))
