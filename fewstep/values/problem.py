"""What to search for, and how much to spend on it."""

from dataclasses import dataclass, field
from typing import Annotated, TypedDict

from fewstep.errors import InvalidInput
from fewstep.values.fields import About, check
from fewstep.values.limits import Limits
from fewstep.values.objective import METRICS, Objective, pattern
from fewstep.values.samplers import SAMPLERS

__all__ = ["MAX_BUDGET", "MAX_NFE", "MAX_NOISES", "MIN_NOISES", "NOISES", "Options", "Problem"]

MAX_NFE = 50  # above this a baseline is as good as exact
MAX_BUDGET = 100_000
MAX_SEED = 2**31 - 1
MIN_NOISES, NOISES, MAX_NOISES = 8, 64, 8192  # of a trial; the middle one by default


@dataclass(frozen=True)
class Problem:
    """What to search for: the model's identity, network calls per sample, metric, evaluations to spend, seed.

    ``metric`` is the text of an `Objective`, completed; ``report`` another, measured on what is published and no more.
    With a distribution metric and no ``report``, the endpoint error is reported. ``noises`` is on how many start noises
    a trial is measured at most; finalists meet on twice as many others, and what is published is measured on eight
    times as many. ``sampler`` is one of `SAMPLERS`. Raises `InvalidInput` where a number is out of range, and
    `UnknownName`.

    A new field is written here, in `Options` below, and in a migration of `storage`.

    >>> Problem("a", 8, metric="frechet:digits").report
    'endpoint'
    """

    model: Annotated[str, About("The model's id", length=100, pattern=r"^[0-9A-Za-z_.-]+$")]
    nfe: Annotated[int, About("Network calls per sample", low=1, high=MAX_NFE, example=8)]
    metric: Annotated[
        str,
        About(
            'What is lowered: "endpoint", or metric[:features[:reference]] as in "frechet:digits"',
            names=METRICS,
            length=200,
            pattern=pattern,
            parse=Objective.parse,
        ),
    ] = "endpoint"
    budget: Annotated[int, About("Schedules to evaluate", low=1, high=MAX_BUDGET)] = 400
    seed: Annotated[int, About("Seed of the search's noises and choices", low=0, high=MAX_SEED)] = 0
    noises: Annotated[int, About("Start noises that a trial is measured on", low=MIN_NOISES, high=MAX_NOISES)] = NOISES
    report: Annotated[
        str | None,
        About("Another metric, measured on what is found", length=200, pattern=pattern, parse=Objective.parse),
    ] = None
    sampler: Annotated[str, About("What proposes schedules", choices=SAMPLERS)] = "guided"
    limits: Annotated[Limits, About("What may end it before its budget is spent")] = field(default_factory=Limits)

    def __post_init__(self) -> None:
        check(self)
        if self.report is None and self.metric != "endpoint":
            object.__setattr__(self, "report", "endpoint")
        if self.report == self.metric:
            raise InvalidInput(f"{self.report} is what the search lowers: report another metric beside it, or none")
        if self.limits.improvement is not None and not SAMPLERS[self.sampler].forecasts:
            able = ", ".join(repr(name) for name in SAMPLERS if SAMPLERS[name].forecasts)
            raise InvalidInput(
                f"a limit of improvement rests on forecasts, which only {able} makes: {self.sampler!r} has none"
            )

    @property
    def objective(self) -> Objective:
        """The metric, taken apart."""
        return Objective.parse(self.metric)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What the search lowers, then what it reports, if anything."""
        return (self.objective, *(() if self.report is None else (Objective.parse(self.report),)))


class Options(TypedDict, total=False):
    """The fields of a `Problem` that have a default, as keywords of `find` and `Client.submit`."""

    metric: str
    budget: int
    seed: int
    noises: int
    report: str | None
    sampler: str
    limits: Limits
