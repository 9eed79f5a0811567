"""Feature tables of schedules, worked out once for each schedule: a search asks for the same trials again and again.

| knowledge | features | prior: forecast with nothing evaluated |
|---|---|---|
| ``tableau`` | λ-gaps, choices and tableau entries (`fewstep.predictor.encode`) | none: all schedules alike |
| ``replay`` | open-loop residuals: each row, their maximum and mean | the worst row's residual |
| ``all`` | every forecast of `predictor.physics`, their maxima, the open loop's mean | closed loop's end, some modes |
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fewstep.errors import InvalidInput, UnknownName
from fewstep.predictor.encode import encode, encode_shifts, encode_steps
from fewstep.predictor.physics import Physics
from fewstep.schedule import Schedule, compile
from fewstep.tableau import Tableau
from fewstep.trajectory import Trajectories

__all__ = ["KNOWLEDGE", "NOTHING", "Dataset", "Table"]

MODES_SHARE = 0.1  # weight of the mixtures in the prior; 0.1 and 0.15 rank alike, 0.2 worse
KEPT = 20_000  # schedules; about 40 MB


class Table(NamedTuple):
    """``features`` (M, F) and ``prior`` (M,), the forecast of log(score) with nothing evaluated.

    For the ranker that reads steps: ``steps`` (M, N, C) what is known of each, ``whole`` (M, W) of all together.
    ``shifts`` (M, 4) are the time shifts, which nothing else here knows of. ``pooled`` (M, P) is what lessons are made
    of, `fewstep.predictor.lesson.COLUMNS` where all is known, else nothing (P = 0); ``correction`` (M,) what lessons
    add to the prior.
    """

    features: np.ndarray
    prior: np.ndarray
    steps: np.ndarray
    whole: np.ndarray
    shifts: np.ndarray
    pooled: np.ndarray
    correction: np.ndarray

    def shifted(self) -> "Table":
        """With the time shifts among the features and among what is known of all steps."""
        features, whole = (np.column_stack([part, self.shifts]) for part in (self.features, self.whole))
        return self._replace(features=features, whole=whole)

    def taught(self) -> "Table":
        """With the lessons' correction among the features."""
        return self._replace(features=np.column_stack([self.features, self.correction]))

    def of(self, rows: np.ndarray) -> "Table":
        """Some of its rows."""
        return Table(*(part[rows] for part in self))


NOTHING = Table(*(np.zeros(shape) for shape in ((0, 0), 0, (0, 0, 0), (0, 0), (0, 0), (0, 0), 0)))  # no schedule at all


def _tableau(physics: Physics, schedules: Sequence[Schedule], tableaus: Sequence[Tableau]) -> Table:
    steps, zeros = encode_steps(schedules, tableaus), np.zeros(len(schedules))
    features, shifts = encode(schedules, tableaus), encode_shifts(schedules)
    return Table(features, zeros, steps, steps.max(axis=1), shifts, zeros[:, None][:, :0], zeros)


def _replay(physics: Physics, schedules: Sequence[Schedule], tableaus: Sequence[Tableau]) -> Table:
    rows = physics(tableaus)[:, 0]  # (M, N)
    whole = np.column_stack([rows.max(axis=1), rows.mean(axis=1)])
    features, shifts = np.column_stack([rows, whole]), encode_shifts(schedules)
    return Table(features, whole[:, 0], rows[:, :, None], whole, shifts, whole[:, :0], np.zeros(len(rows)))


def _all(physics: Physics, schedules: Sequence[Schedule], tableaus: Sequence[Tableau]) -> Table:
    logs = physics(tableaus)  # (M, C, N)
    modes = physics.modes(tableaus)  # (M, 2)
    worst = logs.max(axis=2)  # (M, C)
    whole = np.column_stack([worst, logs[:, 0].mean(axis=1), modes])
    closed = logs[:, 1:-1, -1].mean(axis=1)
    prior = (1 - MODES_SHARE) * closed + MODES_SHARE * modes.mean(axis=1)
    steps = np.concatenate([logs.transpose(0, 2, 1), encode_steps(schedules, tableaus)], axis=2)
    features = np.column_stack([logs.reshape(len(logs), -1), whole])
    pooled = np.column_stack([worst, modes]) - prior[:, None]
    return Table(features, prior, steps, whole, encode_shifts(schedules), pooled, np.zeros(len(logs)))


KNOWLEDGE: dict[str, Callable[[Physics, Sequence[Schedule], Sequence[Tableau]], Table]] = {
    "tableau": _tableau,
    "replay": _replay,
    "all": _all,
}


class Dataset:
    """Tables of schedules of the trajectories' process; ``knowledge`` is one of `KNOWLEDGE`."""

    def __init__(self, trajectories: Trajectories, knowledge: str = "all") -> None:
        if knowledge not in KNOWLEDGE:
            raise UnknownName("knowledge", knowledge, KNOWLEDGE)
        self._process, self._physics, self._make = trajectories.process, Physics(trajectories), KNOWLEDGE[knowledge]
        self._known: dict[Schedule, tuple[np.ndarray, ...]] = {}

    def __call__(self, schedules: Sequence[Schedule]) -> Table:
        """The table of at least one schedule, all with the same number of calls; raises `InvalidInput`."""
        missing = [schedule for schedule in dict.fromkeys(schedules) if schedule not in self._known]
        for schedule in missing:
            if schedule.process != self._process:
                raise InvalidInput(
                    f"a schedule was made for {schedule.process}, but the trajectories for {self._process}"
                )
        if missing:
            table = self._make(self._physics, missing, [compile(schedule) for schedule in missing])
            self._known |= zip(missing, zip(*table, strict=True), strict=True)
        rows = [self._known[schedule] for schedule in schedules]
        for old in list(self._known)[: max(len(self._known) - KEPT, 0)]:
            del self._known[old]
        return Table(*(np.array(part) for part in zip(*rows, strict=True)))
