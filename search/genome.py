"""Genes of many points of the space as arrays: what proposals are drawn, mutated and crossed in.

| symbol | field | shape |
|---|---|---|
| u | ``logits``: log λ-gaps | (M, N) |
| g | ``genes``: of each name of `fewstep.search.genes.STEP_GENES` its values | (M, N) |
| | ``shifts``: the time shift of each point, or None | M |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from fewstep import Schedule
from fewstep.multistep import Multistep
from fewstep.search import gaps
from fewstep.search.genes import STEP_GENES
from fewstep.search.space import Space
from fewstep.timeshift import TimeShift

__all__ = ["Genome"]


@dataclass(frozen=True, eq=False)
class Genome:
    """M points of a space with N calls; see the table above."""

    logits: np.ndarray
    genes: dict[str, np.ndarray]
    shifts: Sequence[TimeShift | None]

    @classmethod
    def of(cls, space: Space, schedules: Sequence[Schedule]) -> Self:
        """The genes of schedules that the space holds."""
        table = Multistep.of(schedules)
        genes = {gene.name: getattr(table, gene.name) for gene in STEP_GENES}
        logits = np.stack([space.logits(schedule) for schedule in schedules])
        return cls(logits, genes | {"corrector": table.corrector > 0}, [schedule.shift for schedule in schedules])

    def rows(self, picks: np.ndarray) -> Self:
        """Some of the points, any of them several times."""
        genes = {name: values[picks] for name, values in self.genes.items()}
        return type(self)(self.logits[picks], genes, [self.shifts[i] for i in picks])

    def build(self, space: Space) -> list[Schedule]:
        """The schedules, each what `Space.build` makes of its point."""
        times = gaps.times_of(space.process, self.logits)
        corrector = np.where(self.genes["corrector"], self.genes["order"] + 1, 0)
        table = Multistep(space.process, times, **(self.genes | {"corrector": corrector})).settled()
        settle = space.shifts.settled
        shifts = [shift and settle(shift, row) for shift, row in zip(self.shifts, times.tolist(), strict=True)]
        return table.schedules(shifts)
