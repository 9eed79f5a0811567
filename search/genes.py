"""The genes of a schedule: one table of what every choice and every factor may be.

Membership, points, Optuna's distributions, uniform draws, mutations and crossovers all come from it, so that they
agree. A new gene of the steps is one line of `CHOICES` or `FACTORS`, named like the field of `Step` that it sets.

| gene | of | what |
|---|---|---|
| ``gap`` | each step | log of its λ-gap over the geometric mean of all |
| `STEP_GENES` | each step | what it extrapolates from which outputs, and how it is corrected |
| ``shift`` | the schedule | time shift: "none" or its target, of those that tell times apart |
| ``window`` | the schedule | the time shift's, as a share of one step of the time range, (t_max − t_min)/N |
| ``cutoff`` | the schedule | the time shift's, as a share of the time range, from its clean end |

Of time shifts only mode "network" is there: in mode "start" the coefficients differ from sample to sample, and whatever
forecasts or fits a schedule reads its coefficients.
"""

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np

from fewstep import Step
from fewstep.errors import InvalidSchedule
from fewstep.processes import Process
from fewstep.timeshift import TARGETS, TimeShift

__all__ = [
    "CHOICES",
    "CUTOFF",
    "FACTORS",
    "GAP",
    "KINDS",
    "NONE",
    "STEP_GENES",
    "WINDOW",
    "Choice",
    "Factor",
    "Gene",
    "ShiftGenes",
    "expressible",
    "genes_of",
    "with_genes",
]

NONE = "none"
UNUSED = {"shift": NONE, "window": 0.5, "cutoff": 0.0}  # genes of a schedule without a time shift
SHIFTED = 0.25  # chance that a uniform proposal has a shift: on most models most of them harm
RATE = 0.15  # chance of a mutation to touch the shift
DROPPED = 1 / 3  # of these, where there is one
DIGITS = 9  # of a share, so that encoding gives back the very window that was decoded

Number = TypeVar("Number", float, np.ndarray)


@dataclass(frozen=True)
class Choice:
    """A gene with a few ``values``, of which a draw takes any. ``kind`` is one of `KINDS`.

    >>> Choice("order", (1, 2)).contains(5)
    False
    """

    name: str
    values: tuple[Any, ...]
    kind: str = ""

    def contains(self, value: object) -> bool:
        """Whether it is one of the values."""
        return value in self.values

    def draw(self, rng: np.random.Generator) -> Any:
        """One of the values, all equally likely."""
        return self.values[rng.integers(len(self.values))]


@dataclass(frozen=True)
class Factor:
    """A gene with a range from ``low`` to ``high``, both included; ``kind`` is one of `KINDS`.

    A draw is uniform in ``draws``, or in the whole range. A mutation of strength s adds N(0, (``move``·s)²), on steps
    where the factor is ``used`` by their orders and correctors, arrays too; where it is the free parameter of a
    ``scale``, that choice becomes "linear" first.

    >>> Factor("slope", -0.5, 0.5).contains(0.5), Factor("slope", -0.5, 0.5).clip(2.0)
    (True, 0.5)
    """

    name: str
    low: float
    high: float
    kind: str = ""
    draws: tuple[float, float] | None = None
    used: Callable[[Any, Any], Any] = lambda order, corrector: True
    move: float = 1.0
    scale: str | None = None

    def contains(self, value: float) -> bool:
        """Whether it lies in the range."""
        return bool(self.low <= value <= self.high)

    def clip(self, value: Number) -> Number:
        """The nearest value in the range; same shape."""
        if isinstance(value, np.ndarray):
            return cast(Number, np.clip(value, self.low, self.high))
        return min(max(value, self.low), self.high)

    def draw(self, rng: np.random.Generator) -> float:
        """A value of the range, uniform where draws are."""
        return rng.uniform(*(self.draws or (self.low, self.high)))


Gene = Choice | Factor

GAP = Factor("gap", -5.0, 5.0)  # every baseline grid up to 50 calls lies inside, but for the quadratic one of flows
KINDS = ("prediction", "derivatives", "corrector")  # what a child of evolution inherits together
CHOICES = (
    Choice("order", (1, 2, 3, 4), "derivatives"),
    Choice("prediction", ("data", "noise"), "prediction"),
    Choice("scale", (NONE, "bh1", "bh2", "linear"), "derivatives"),
    Choice("corrector", (False, True), "corrector"),  # of one order more than the step
    Choice("corrector_scale", (NONE, "bh1", "bh2", "linear"), "corrector"),
)
FACTORS = (
    Factor("slope", -0.5, 0.5, "derivatives", used=lambda order, corrector: order > 1, scale="scale"),
    Factor("second", -0.5, 1.5, "derivatives", used=lambda order, corrector: order > 2, move=3.0),
    Factor(
        "corrector_slope", -0.5, 0.5, "corrector", used=lambda order, corrector: corrector > 0, scale="corrector_scale"
    ),
)
STEP_GENES: tuple[Gene, ...] = (*CHOICES, *FACTORS)
WINDOW = Factor("window", 0.1, 1.5)
CUTOFF = Factor("cutoff", 0.0, 1.0, draws=(0.0, 0.6))  # with most calls shifted; the paper's is 0.3


def genes_of(step: Step) -> dict[str, Any]:
    """The values of `STEP_GENES` in a step.

    >>> genes_of(Step(order=2, corrector=3))["corrector"]
    True
    """
    return {gene.name: getattr(step, gene.name) for gene in STEP_GENES} | {"corrector": step.corrector > 0}


def with_genes(step: Step, genes: dict[str, Any]) -> Step:
    """The step with some of its genes changed.

    >>> with_genes(Step(order=2), {"corrector": True})
    Step(order=2, corrector=3)
    """
    corrects = genes.get("corrector", step.corrector > 0)
    order = genes.get("order", step.order)
    return replace(step, **(genes | {"corrector": order + 1 if corrects else 0}))


def expressible(step: Step) -> bool:
    """Whether the genes can say the step: all of them in range, and everything that they do not set as in ``Step()``.

    >>> expressible(Step(order=2, scale="bh2")), expressible(Step(order=2, scale="0.5exp"))
    (True, False)
    """
    genes = genes_of(step)
    return all(gene.contains(genes[gene.name]) for gene in STEP_GENES) and with_genes(Step(), genes) == step


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
        usable = []
        for target in TARGETS if self.variance else TARGETS[:1]:
            with contextlib.suppress(InvalidSchedule):
                self._build(target, 1.0, 0.0).check(self.process)
                usable.append(target)
        return tuple(usable)

    @property
    def genes(self) -> tuple[Gene, ...]:
        """The genes; none where there are no targets."""
        return (Choice("shift", (NONE, *self.targets)), WINDOW, CUTOFF) if self.targets else ()

    def holds(self, shift: TimeShift | None) -> bool:
        """Whether the genes can say it."""
        if shift is None:
            return True
        low, high = WINDOW.low * self._step, WINDOW.high * self._step
        variance = self.variance if shift.target == "calibrated" else None
        return (
            shift.mode == "network"
            and shift.target in self.targets
            and (variance is None or math.isclose(shift.variance or 0.0, variance, rel_tol=1e-6))
            and self._whole(low) <= shift.window <= high
            and self.process.t_min <= shift.cutoff <= self.process.t_max
        )

    def settled(self, shift: TimeShift | None, times: Sequence[float]) -> TimeShift | None:
        """The simplest shift that does the same on falling ``times`` (N+1,): none where no call is shifted, the cut-off
        half way between the last call that is shifted and what comes next, the window of whole table entries."""
        if shift is None:
            return None
        window = self._whole(shift.window)
        last = sum(time > shift.cutoff for time in times[:-1]) - 1
        if not window or last < 1:  # the call at t_max is never shifted
            return None
        return replace(shift, window=window, cutoff=0.5 * (times[last] + times[last + 1]))

    def encode(self, shift: TimeShift | None) -> dict[str, Any]:
        """The genes of a shift that `holds`; nothing where there are no targets."""
        if not self.targets:
            return {}
        if shift is None:
            return dict(UNUSED)
        return {
            "shift": shift.target,
            "window": WINDOW.clip(round(shift.window / self._step, DIGITS)),  # of whole entries it may lie below
            "cutoff": (shift.cutoff - self.process.t_min) / self._span,
        }

    def decode(self, genes: dict[str, Any]) -> TimeShift | None:
        """Inverse of `encode`; further entries are passed over."""
        target = genes.get("shift", NONE)
        return None if target == NONE else self._build(target, genes["window"], genes["cutoff"])

    def draw(self, rng: np.random.Generator) -> TimeShift | None:
        """Most often none, else any."""
        return self._any(rng) if self.targets and rng.random() < SHIFTED else None

    def mutate(self, shift: TimeShift | None, strength: float, rng: np.random.Generator) -> TimeShift | None:
        """Most often the same, else another one, dropped, or moved by about ``strength``."""
        if not self.targets or rng.random() >= RATE:
            return shift
        if shift is None:
            return self._any(rng)
        if rng.random() < DROPPED:
            return None
        genes, kicks = self.encode(shift), rng.normal(0, strength, 2)
        window = WINDOW.clip(genes["window"] * math.exp(2 * kicks[0]))
        cutoff = CUTOFF.clip(genes["cutoff"] + kicks[1])
        return self._build(shift.target, window, cutoff)

    def _any(self, rng: np.random.Generator) -> TimeShift:
        target = self.targets[rng.integers(len(self.targets))]
        return self._build(target, WINDOW.draw(rng), CUTOFF.draw(rng))

    def _build(self, target: str, window: float, cutoff: float) -> TimeShift:
        return TimeShift(
            round(window, DIGITS) * self._step,
            self.process.t_min + cutoff * self._span,
            target,
            variance=self.variance if target == "calibrated" else None,
        )

    def _whole(self, window: float) -> float:
        """What is used of a window: on a table whole entries on either side, where a rounding error counts for none."""
        return 2.0 * math.floor(window / 2 + 1e-6) if self.process.knots else window

    @property
    def _span(self) -> float:
        return float(self.process.t_max - self.process.t_min)

    @property
    def _step(self) -> float:
        return self._span / self.nfe
