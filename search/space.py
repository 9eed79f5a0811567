"""The search space: times × order × prediction × factors of the derivatives, as named parameters and back.

The times are fixed at both ends; between them the gaps in λ are a softmax of one free number per step, so that every
point of the space is a valid schedule.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fewstep import Schedule, Step
from fewstep.processes import Process

__all__ = ["GAP_RANGE", "FACTORS", "GENES", "Space"]

GAP_RANGE = 5.0  # |log(gap / geometric mean of the gaps)|; every baseline grid up to 50 calls lies inside
GENES: dict[str, tuple[Any, ...]] = {
    "order": (1, 2, 3, 4),
    "prediction": ("data", "noise"),
    "scale": ("none", "bh1", "bh2", "linear"),
}
FACTORS: dict[str, tuple[float, float]] = {"slope": (-0.5, 0.5), "second": (-0.5, 1.5)}  # continuous genes


@dataclass(frozen=True)
class Space:
    """All schedules with ``nfe`` calls from t_max to t_min of a process."""

    process: Process
    nfe: int

    def times(self, logits: np.ndarray) -> tuple[float, ...]:
        """Falling times (nfe + 1,) whose λ-gaps are proportional to exp(logits), (nfe,)."""
        first, last = self.process.log_snr(np.array([self.process.t_max, self.process.t_min]))
        shares = np.exp(logits - logits.max())
        inner = first + (last - first) * np.cumsum(shares / shares.sum())[:-1]
        return (self.process.t_max, *(float(t) for t in self.process.time(inner)), self.process.t_min)

    def logits(self, schedule: Schedule) -> np.ndarray:
        """The free numbers (nfe,) of a schedule's times: log λ-gaps with mean zero, clipped to the range."""
        gaps = np.log(np.diff(self.process.log_snr(np.array(schedule.times))))
        logits: np.ndarray = np.clip(gaps - gaps.mean(), -GAP_RANGE, GAP_RANGE)
        return logits

    def build(self, logits: np.ndarray, steps: list[Step]) -> Schedule:
        """The schedule with these λ-gaps and steps, orders cut to the outputs at hand, in canonical form."""
        cut = (replace(step, order=min(step.order, i + 1)).canonical() for i, step in enumerate(steps))
        return Schedule(self.process, self.times(logits), tuple(cut))

    def decode(self, params: dict[str, Any]) -> Schedule:
        """The schedule of a point of the space."""
        logits = np.array([params[f"gap_{i}"] for i in range(self.nfe)])
        steps = [Step(**{gene: params[f"{gene}_{i}"] for gene in (*GENES, *FACTORS)}) for i in range(self.nfe)]
        return self.build(logits, steps)

    def encode(self, schedule: Schedule) -> dict[str, Any]:
        """The point of a schedule; `decode` gives back the schedule's canonical form, to rounding."""
        params: dict[str, Any] = {f"gap_{i}": float(g) for i, g in enumerate(self.logits(schedule))}
        for i, step in enumerate(schedule.canonical().steps):
            params |= {f"{gene}_{i}": getattr(step, gene) for gene in (*GENES, *FACTORS)}
        return params
