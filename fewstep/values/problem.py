"""What search, predictor, storage and service say to each other: small frozen values."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fewstep.errors import InvalidInput, UnknownName
from fewstep.schedule import Schedule
from fewstep.values.limits import Limits
from fewstep.values.objective import Measure
from fewstep.values.samplers import SAMPLERS

__all__ = [
    "MAX_BUDGET",
    "MAX_NFE",
    "MAX_NOISES",
    "MIN_NOISES",
    "NOISES",
    "Prediction",
    "Problem",
    "Rank",
    "Result",
    "SAMPLERS",
    "Score",
    "Trial",
]

MAX_NFE = 50  # above this a hand-made solver is as good as exact
MAX_BUDGET = 100_000
MIN_NOISES, NOISES, MAX_NOISES = 8, 64, 8192  # of a trial; the middle one by default


@dataclass(frozen=True)
class Problem:
    """What to search for: the model's identity, network calls per sample, metric, evaluations to spend, seed.

    ``metric`` is the text of a `Measure`, completed; ``report`` another one, measured on what is published and no more.
    With a distribution metric and no ``report``, the endpoint error is reported. ``noises`` is on how many start noises
    a trial is measured at most; finalists meet on twice as many others, and what is published is measured on eight
    times as many. ``sampler`` is one of `SAMPLERS`. Raises `InvalidInput` where a number is out of range, and
    `UnknownName`.

    >>> Problem("a", 8, metric="frechet:digits").report
    'endpoint'
    """

    model: str
    nfe: int
    metric: str = "endpoint"
    budget: int = 400
    seed: int = 0
    noises: int = NOISES
    report: str | None = None
    sampler: str = "guided"
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        whole = {
            "nfe": (1, MAX_NFE),
            "budget": (1, MAX_BUDGET),
            "seed": (0, 2**31 - 1),
            "noises": (MIN_NOISES, MAX_NOISES),
        }
        for name, (low, high) in whole.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise InvalidInput(f"{name} is a whole number from {low} to {high}, got {value!r}")
        object.__setattr__(self, "metric", str(Measure.parse(self.metric)))
        if self.report is not None:
            object.__setattr__(self, "report", str(Measure.parse(self.report)))
        elif self.metric != "endpoint":
            object.__setattr__(self, "report", "endpoint")
        if self.report == self.metric:
            raise InvalidInput(f"{self.report} is what the search lowers: report another metric beside it, or none")
        if self.sampler not in SAMPLERS:
            raise UnknownName("sampler", str(self.sampler)[:40], SAMPLERS)
        if self.limits.improvement is not None and not SAMPLERS[self.sampler].forecasts:
            able = ", ".join(repr(name) for name in SAMPLERS if SAMPLERS[name].forecasts)
            raise InvalidInput(
                f"a limit of improvement rests on forecasts, which only {able} makes: {self.sampler!r} has none"
            )

    @property
    def measure(self) -> Measure:
        """The metric, taken apart."""
        return Measure.parse(self.metric)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What the search lowers, then what it reports, if anything."""
        return (self.measure, *(() if self.report is None else (Measure.parse(self.report),)))


@dataclass(frozen=True)
class Score:
    """A measured error, lower is better: ``value`` ± ``standard_error`` over ``noises`` start noises.

    ``calls`` counts the network sample-calls spent on it. A trial that was given up has fewer noises than its problem,
    and cannot be the best one. Raises `InvalidInput` where a number is not finite.

    >>> Score(0.1, 0.01, noises=128, calls=1024).value
    0.1
    """

    value: float
    standard_error: float
    noises: int
    calls: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and math.isfinite(self.standard_error)):
            raise InvalidInput(f"a score is finite, got {self.value} ± {self.standard_error}")


@dataclass(frozen=True)
class Trial:
    """One evaluated schedule. ``score`` is None where the evaluation failed; ``reason`` then says why.

    ``origin`` says where the proposal came from ("baseline dpmpp-2m quadratic", "mutation", …). ``predicted`` is the
    ranker's forecast of log(score) made before the evaluation, ``predicted_std`` its standard deviation.
    """

    number: int
    schedule: Schedule
    score: Score | None
    origin: str
    predicted: float | None = None
    predicted_std: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Result:
    """What a search publishes; every score is measured on held-out noises that the search never saw.

    ``ratio`` is score/baseline with its paired 95 % bootstrap interval ``ratio_low`` … ``ratio_high``; a distance that
    cannot be told from zero counts as the baseline's standard error there. ``low`` … ``high`` is the 95 % interval of
    the score. ``second`` and ``second_baseline`` are the same two schedules by the metric `Problem.report`.
    ``teacher_error`` is the teacher's own distance to convergence, in the units of the scores; ``calls`` counts every
    network sample-call spent, teacher included, and ``passes`` says how often such a call passes the network (2 with
    classifier-free guidance); ``tau`` is Kendall's τ of the ranker on trials it had not seen. ``ended`` says why there
    were no more trials: the "budget" was spent, a limit of "calls", "seconds" or "improvement" was reached, or the
    "space" had no other schedules.
    """

    problem: Problem
    schedule: Schedule
    score: Score
    baseline_name: str
    baseline_schedule: Schedule
    baseline: Score
    ratio: float
    ratio_low: float
    ratio_high: float
    teacher_error: float
    calls: int
    evaluations: int
    seconds: float
    tau: float | None = None
    passes: int = 1
    low: float | None = None
    high: float | None = None
    second: Score | None = None
    second_baseline: Score | None = None
    ended: str = "budget"


class Prediction(NamedTuple):
    """Forecast of log(score) for M candidates: ``mean`` and ``std``, both (M,)."""

    mean: np.ndarray
    std: np.ndarray


Rank = Callable[[Sequence[Trial], Sequence[Schedule]], Prediction]
"""``rank(trials so far, candidates) -> Prediction``; deterministic in its arguments."""
