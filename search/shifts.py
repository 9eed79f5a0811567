"""The time shift of a whole schedule as genes: its target, how wide its window is, and where it stops.

| gene | values |
|---|---|
| ``shift`` | "none", or the target: "paper", and "calibrated" where the variance of clean samples tells times apart |
| ``window`` | share of one step of the time range, (t_max − t_min)/N |
| ``cutoff`` | share of the time range, from its clean end |

Mode "network" alone: in mode "start" the rows differ from sample to sample, and whatever forecasts or fits a schedule
reads its rows.
"""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from fewstep.errors import InvalidSchedule
from fewstep.processes import Process
from fewstep.timeshift import TARGETS, TimeShift

__all__ = ["NONE", "RANGES", "ShiftGenes"]

NONE = "none"
RANGES = {"window": (0.1, 1.5), "cutoff": (0.0, 1.0)}  # continuous genes
UNUSED = {"shift": NONE, "window": 0.5, "cutoff": 0.0}
SHIFTED = 0.25  # chance that a uniform proposal has a shift: on most models most of them harm
LATEST = 0.6  # share of the times that a uniform proposal may leave alone; the paper's is 0.3
RATE = 0.15  # chance of a mutation to touch the shift
DROPPED = 1 / 3  # of these, where there is one
DIGITS = 9  # of a share, so that encoding gives back the very window that was decoded


@dataclass(frozen=True)
class ShiftGenes:
    """The time shifts of schedules with ``nfe`` calls of a process; none at all where ``variance`` is None.

    ``variance`` is that of the numbers of a clean sample; at 0 both targets are the same, and only "paper" is there.
    """

    process: Process
    nfe: int
    variance: float | None = None

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """The targets that tell times apart; none with one call, which is never shifted."""
        if self.variance is None or self.nfe == 1:
            return ()
        found = []
        for target in TARGETS if self.variance else TARGETS[:1]:
            with contextlib.suppress(InvalidSchedule):
                self._made(target, 1.0, 0.0).check(self.process)
                found.append(target)
        return tuple(found)

    def holds(self, shift: TimeShift | None) -> bool:
        """Whether the genes can say it."""
        if shift is None:
            return True
        low, high = (share * self._step for share in RANGES["window"])
        wanted = self.variance if shift.target == "calibrated" else None
        return (
            shift.mode == "network"
            and shift.target in self.targets
            and (wanted is None or math.isclose(shift.variance or 0.0, wanted, rel_tol=1e-6))
            and self._whole(low) <= shift.window <= high
            and self.process.t_min <= shift.cutoff <= self.process.t_max
        )

    def settled(self, shift: TimeShift | None, times: Sequence[float]) -> TimeShift | None:
        """The simplest shift that does the same on falling ``times`` (N+1,): none where no call is shifted, the cut-off
        half way between the last call that is shifted and what comes next, the window of whole table entries."""
        if shift is None:
            return None
        window, last = self._whole(shift.window), sum(time > shift.cutoff for time in times[:-1]) - 1
        if not window or last < 1:  # the call at t_max is never shifted
            return None
        return replace(shift, window=window, cutoff=0.5 * (times[last] + times[last + 1]))

    def encode(self, shift: TimeShift | None) -> dict[str, Any]:
        """The genes of a shift that `holds`; nothing where there are no targets."""
        if not self.targets:
            return {}
        if shift is None:
            return dict(UNUSED)
        low, high = RANGES["window"]
        window = min(max(round(shift.window / self._step, DIGITS), low), high)  # of whole entries it may lie below
        return {"shift": shift.target, "window": window, "cutoff": (shift.cutoff - self.process.t_min) / self._span}

    def decode(self, genes: dict[str, Any]) -> TimeShift | None:
        """Inverse of `encode`; further entries are passed over."""
        target = genes.get("shift", NONE)
        return None if target == NONE else self._made(target, genes["window"], genes["cutoff"])

    def draw(self, rng: np.random.Generator) -> TimeShift | None:
        """Most often none, else any."""
        return self._drawn(rng) if self.targets and rng.random() < SHIFTED else None

    def mutate(self, shift: TimeShift | None, strength: float, rng: np.random.Generator) -> TimeShift | None:
        """Most often the same, else drawn anew, dropped, or moved by about ``strength``."""
        if not self.targets or rng.random() >= RATE:
            return shift
        if shift is None:
            return self._drawn(rng)
        if rng.random() < DROPPED:
            return None
        genes, kicks = self.encode(shift), rng.normal(0, strength, 2)
        moved = {"window": genes["window"] * math.exp(2 * kicks[0]), "cutoff": genes["cutoff"] + kicks[1]}
        return self._made(
            shift.target, **{gene: min(max(moved[gene], low), high) for gene, (low, high) in RANGES.items()}
        )

    def _drawn(self, rng: np.random.Generator) -> TimeShift:
        target = self.targets[rng.integers(len(self.targets))]
        return self._made(target, rng.uniform(*RANGES["window"]), rng.uniform(0, LATEST))

    def _made(self, target: str, window: float, cutoff: float) -> TimeShift:
        return TimeShift(
            round(window, DIGITS) * self._step,
            self.process.t_min + cutoff * self._span,
            target,
            variance=self.variance if target == "calibrated" else None,
        )

    def _whole(self, window: float) -> float:
        """What is used of a window: on a table whole entries on either side, where a rounding error counts for none."""
        return 2.0 * math.floor(window / 2 + 1e-6) if self.process.whole_times else window

    @property
    def _span(self) -> float:
        return float(self.process.t_max - self.process.t_min)

    @property
    def _step(self) -> float:
        return self._span / self.nfe
