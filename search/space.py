"""The search space: times × order × prediction × factors × corrector × time shift, as named parameters and back.

The times are fixed at both ends; between them the gaps in λ are a softmax of one free number per step, so that every
point of the space is a valid schedule. Multistep schedules in λ are points of it; singlestep solvers, other variables
and fixed weights are not (`Space.holds`). The time shift is one for the whole schedule (`fewstep.search.shifts`).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from fewstep import Schedule, Step
from fewstep.grids.arc_length import ArcLength
from fewstep.processes import Process
from fewstep.search.ends import ends, log_snrs
from fewstep.search.shifts import ShiftGenes
from fewstep.steps.rules import reach
from fewstep.steps.weights import Levels
from fewstep.timeshift import TimeShift

__all__ = ["FACTORS", "GAP_RANGE", "GENES", "Space", "with_genes"]

GAP_RANGE = 5.0  # |log(gap / geometric mean of the gaps)|; every baseline grid up to 50 calls lies inside
SMALLEST = 1e-6  # λ-gap; only times beyond the reach of an infinite end lie closer
GENES: dict[str, tuple[Any, ...]] = {
    "order": (1, 2, 3, 4),
    "prediction": ("data", "noise"),
    "scale": ("none", "bh1", "bh2", "linear"),
    "corrector": (False, True),  # of one order more than the step
    "corrector_scale": ("none", "bh1", "bh2", "linear"),
}
FACTORS: dict[str, tuple[float, float]] = {  # continuous genes
    "slope": (-0.5, 0.5),
    "second": (-0.5, 1.5),
    "corrector_slope": (-0.5, 0.5),
}
SIMPLE = Step()


def with_genes(step: Step, genes: dict[str, Any]) -> Step:
    """The step with some of its genes changed.

    >>> with_genes(Step(order=2), {"corrector": True})
    Step(order=2, corrector=3)
    """
    given = {"corrector": step.corrector > 0, **genes}
    order = given.get("order", step.order)
    return replace(step, **(given | {"corrector": order + 1 if given["corrector"] else 0}))


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

    def times(self, logits: np.ndarray) -> tuple[float, ...]:
        """Falling times (nfe + 1,) whose λ-gaps are proportional to exp(logits), (nfe,)."""
        first, last = ends(self.process)
        shares = np.exp(logits - logits.max())
        inner = first + (last - first) * np.cumsum(shares / shares.sum())[:-1]
        return (self.process.t_max, *(float(t) for t in self.process.time(inner)), self.process.t_min)

    def logits(self, schedule: Schedule) -> np.ndarray:
        """The free numbers (nfe,) of a schedule's falling times: log λ-gaps with mean zero, clipped to the range."""
        return self.spread(np.diff(log_snrs(self.process, np.array(schedule.times))))

    def spread(self, gaps: np.ndarray) -> np.ndarray:
        """The free numbers (nfe,) of λ-gaps."""
        gaps = np.log(np.maximum(gaps, SMALLEST))
        logits: np.ndarray = np.clip(gaps - gaps.mean(), -GAP_RANGE, GAP_RANGE)
        return logits

    def build(self, logits: np.ndarray, steps: list[Step], shift: TimeShift | None = None) -> Schedule:
        """The schedule with these λ-gaps, steps and time shift, in canonical form.

        Orders are cut to the outputs at hand, correctors are left out of the last step and at infinite log-SNR, and a
        shift that shifts no call is left out.
        """
        times = self.times(logits)
        levels, cut = Levels(self.process, np.array(times)), []
        for i, step in enumerate(steps):
            order = min(step.order, reach(levels, step, i))
            corrects = step.corrector and i + 1 < self.nfe and bool(np.isfinite(levels.lam[i : i + 2]).all())
            cut.append(replace(step, order=order, corrector=order + 1 if corrects else 0))
        return Schedule(self.process, times, tuple(cut), shift=self.shifts.settled(shift, times)).canonical()

    def holds(self, schedule: Schedule) -> bool:
        """Whether the schedule is a point of the space, to the rounding of its times."""
        return self.shifts.holds(schedule.shift) and all(
            with_genes(SIMPLE, _genes(step)) == step and step.scale in GENES["scale"]
            for step in schedule.canonical().steps
        )

    def moves(self, schedule: Schedule) -> bool:
        """Whether the schedule keeps its meaning on other times: every step starts where the last one ended."""
        return all(step.start == -1 for step in schedule.steps)

    def decode(self, params: dict[str, Any]) -> Schedule:
        """The schedule of a point of the space."""
        logits = np.array([params[f"gap_{i}"] for i in range(self.nfe)])
        named = (*GENES, *FACTORS)
        steps = [with_genes(SIMPLE, {gene: params[f"{gene}_{i}"] for gene in named}) for i in range(self.nfe)]
        return self.build(logits, steps, self.shifts.decode(params))

    def encode(self, schedule: Schedule) -> dict[str, Any]:
        """The point of a schedule that the space holds; `decode` gives back its canonical form, to rounding."""
        params: dict[str, Any] = {f"gap_{i}": float(g) for i, g in enumerate(self.logits(schedule))}
        for i, step in enumerate(schedule.canonical().steps):
            params |= {f"{gene}_{i}": value for gene, value in _genes(step).items()}
        return params | self.shifts.encode(self.shifts.settled(schedule.shift, schedule.times))


def _genes(step: Step) -> dict[str, Any]:
    return {gene: getattr(step, gene) for gene in (*GENES, *FACTORS)} | {"corrector": step.corrector > 0}
