"""The search space: times × order × prediction × factors × corrector × time shift, as named parameters and back.

The times are fixed at both ends; between them the gaps in λ are a softmax of one free number per step, so that every
point of the space is a valid schedule. Multistep schedules in λ are points of it; singlestep solvers, other variables,
fixed weights and fitted coefficients are not (`Space.holds`). What a parameter may be is its gene's to say
(`fewstep.search.genes`).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from fewstep import Schedule, Step, grids
from fewstep.grids.arc_length import ArcLength
from fewstep.processes import Process
from fewstep.search.gaps import log_gaps, log_snrs, times
from fewstep.search.genes import GAP, STEP_GENES, Gene, ShiftGenes, expressible, genes_of, with_genes
from fewstep.steps.rules import reach
from fewstep.steps.weights import Levels
from fewstep.timeshift import TimeShift

__all__ = ["Space"]

ROUNDING = 1e-8  # of log λ-gaps, and of times as a share of their range


@dataclass(frozen=True)
class Space:
    """All schedules with ``nfe`` calls from t_max to t_min of a process.

    ``arc``, where it was measured, says where proposals put their times; it is no part of a point. ``variance`` is that
    of the numbers of the model's clean samples, for time shifts; where it is None the space has none.
    """

    process: Process
    nfe: int
    arc: ArcLength | None = None
    variance: float | None = None

    @cached_property
    def shifts(self) -> ShiftGenes:
        """The time shifts of its schedules."""
        return ShiftGenes(self.process, self.nfe, self.variance)

    @cached_property
    def genes(self) -> dict[str, Gene]:
        """Every parameter of a point with its gene: those of each step, then those of the time shift.

        >>> from fewstep import processes
        >>> Space(processes.Flow(), 8).genes["order_7"].values
        (1, 2, 3, 4)
        """
        steps = {f"{gene.name}_{i}": gene for i in range(self.nfe) for gene in (GAP, *STEP_GENES)}
        return steps | {gene.name: gene for gene in self.shifts.genes}

    def logits(self, schedule: Schedule) -> np.ndarray:
        """The free numbers (nfe,) of a schedule's falling times: log λ-gaps, of mean zero where that is in their range.

        Gaps whose range is wider than that of `GAP` are clipped to it.
        """
        logits = log_gaps(np.diff(log_snrs(self.process, np.array(schedule.times))))
        if np.ptp(logits) <= GAP.high - GAP.low + ROUNDING:  # they fit: a common factor of all gaps moves no time
            logits += max(GAP.low - logits.min(), 0.0) + min(GAP.high - logits.max(), 0.0)
        return GAP.clip(logits)

    @cached_property
    def even(self) -> np.ndarray:
        """Log λ-gaps (G, N) of the even grids that suit the process.

        >>> from fewstep import processes
        >>> Space(processes.VPLinear(), 5).even.shape
        (4, 5)
        """
        places = (grids.named(name)(self.process, self.nfe) for name in grids.even_names(self.process))
        return np.stack([self.logits(Schedule(self.process, row, (Step(),) * self.nfe)) for row in places])

    def spread(self, gaps: np.ndarray) -> np.ndarray:
        """The free numbers (nfe,) of λ-gaps: their logs, of mean zero, clipped to the range."""
        return GAP.clip(log_gaps(gaps))

    def build(self, logits: np.ndarray, steps: list[Step], shift: TimeShift | None = None) -> Schedule:
        """The schedule with these λ-gaps, steps and time shift, in canonical form.

        Orders are cut to the outputs at hand, correctors are left out of the last step and at infinite log-SNR, and a
        shift that shifts no call is left out.
        """
        placed = times(self.process, logits)
        levels, cut = Levels(self.process, np.array(placed)), []
        for i, step in enumerate(steps):
            order = min(step.order, reach(levels, step, i))
            corrects = step.corrector and i + 1 < self.nfe and bool(np.isfinite(levels.lam[i : i + 2]).all())
            cut.append(replace(step, order=order, corrector=order + 1 if corrects else 0))
        return Schedule(self.process, placed, tuple(cut), shift=self.shifts.settled(shift, placed)).canonical()

    def holds(self, schedule: Schedule) -> bool:
        """Whether the schedule is a point of the space: whether `decode` of its `encode` makes the same choices, and
        comes to the same numbers but for rounding and clipped λ-gaps.

        All times that fall from t_max to t_min are held. λ-gaps outside the range of `GAP` are clipped to it, for such
        times have a nearest point, which lies close to them; a choice or a factor outside its gene has none.
        """
        return (
            schedule.nfe == self.nfe
            and schedule.process == self.process
            and schedule.fitted is None
            and schedule.guidance is None
            and self._spans(schedule)
            and self.shifts.holds(schedule.shift)
            and all(expressible(step) for step in schedule.canonical().steps)
        )

    def moves(self, schedule: Schedule) -> bool:
        """Whether the schedule keeps its meaning on other times: every step starts where the last one ended."""
        return all(step.start == -1 for step in schedule.steps)

    def decode(self, params: dict[str, Any]) -> Schedule:
        """The schedule of a point of the space."""
        logits = np.array([params[f"gap_{i}"] for i in range(self.nfe)])
        steps = [
            with_genes(Step(), {gene.name: params[f"{gene.name}_{i}"] for gene in STEP_GENES}) for i in range(self.nfe)
        ]
        return self.build(logits, steps, self.shifts.decode(params))

    def encode(self, schedule: Schedule) -> dict[str, Any]:
        """The point of a schedule that the space holds: the nearest one where its λ-gaps are clipped."""
        params: dict[str, Any] = {f"gap_{i}": float(g) for i, g in enumerate(self.logits(schedule))}
        for i, step in enumerate(schedule.canonical().steps):
            params |= {f"{name}_{i}": value for name, value in genes_of(step).items()}
        return params | self.shifts.encode(self.shifts.settled(schedule.shift, schedule.times))

    def _spans(self, schedule: Schedule) -> bool:
        """Whether the times lead from one end of the process to the other."""
        first, last = self.process.t_max, self.process.t_min
        most = ROUNDING * (first - last)
        return abs(schedule.times[0] - first) <= most and abs(schedule.times[-1] - last) <= most
