"""The problem of a search: model, NFE, objective and budget."""

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
MIN_NOISES = 8
NOISES = 64  # of a trial, by default
MAX_NOISES = 8192


@dataclass(frozen=True)
class Problem:
    """The problem of a search: the model's id, network calls per sample, objective, budget of evaluations, seed.

    ``metric`` is the text of an `Objective`, completed; ``report`` a secondary metric, of the published schedules
    alone. With a distribution metric and no ``report``, the endpoint error is reported. ``noises`` is the number of
    start noises of a complete trial; there are twice as many validation noises, and eight times as many test noises.
    ``sampler`` is one of `SAMPLERS`. Raises `InvalidInput` where a number is out of range, and
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
            names = ", ".join(repr(name) for name in SAMPLERS if SAMPLERS[name].forecasts)
            raise InvalidInput(
                f"a limit of improvement rests on forecasts, which only {names} makes: {self.sampler!r} has none"
            )

    @property
    def objective(self) -> Objective:
        """The metric with the names of its features and its reference."""
        return Objective.parse(self.metric)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The objective, then the secondary metric, if any."""
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
