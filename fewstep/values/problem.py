"""The problem of a search: model, NFE, objective and budget."""

from dataclasses import dataclass, field, replace
from typing import Annotated, TypedDict

from fewstep.errors import InvalidInput
from fewstep.values.efforts import CUSTOM, EFFORTS, STANDARD, Effort
from fewstep.values.fields import About, check
from fewstep.values.limits import Limits
from fewstep.values.objective import DEFAULT, METRICS, PAIRED, Objective, pattern
from fewstep.values.samplers import SAMPLERS

__all__ = ["MAX_BUDGET", "MAX_NFE", "MAX_NOISES", "MIN_NOISES", "Options", "Problem"]

MAX_NFE = 50  # above this a baseline is as good as exact
MAX_BUDGET = 100_000
MAX_SEED = 2**31 - 1
MIN_NOISES = 8
FEW_CALLS = 12  # with more, a call less is a smaller loss, and half of an effort's noises do
MAX_NOISES = 8192


@dataclass(frozen=True)
class Problem:
    """The problem of a search: the model's id, network calls per sample, objective, effort, seed.

    ``metric`` is the text of an `Objective`, completed; ``report`` a secondary metric, of the published schedules
    alone. ``effort`` is one of `EFFORTS`; ``budget`` trials, ``noises`` of a trial and ``limits.calls`` are its own
    where they are 0 or None. Where no effort is named but trials or noises are, it is "custom", as in the first
    version. With ``precision`` the test takes more noises until the 95 % interval of the published ratio is no wider
    than that to either side. ``max_passes`` bounds the network passes of one sampling run: a search then finds which
    calls go without guidance, which saves a pass each. ``sampler`` is one of `SAMPLERS`. Raises `InvalidInput` where a
    number is out of range, and `UnknownName`.

    A new field is written here, in `Options` below, and in a migration of `storage`.

    >>> Problem("a", 8).budget, Problem("a", 8, effort="quick").limits.calls, Problem("a", 8, budget=400).effort
    (24, 3000, 'custom')
    """

    model: Annotated[str, About("The model's id", length=100, pattern=r"^[0-9A-Za-z_.-]+$")]
    nfe: Annotated[int, About("Network calls per sample", low=1, high=MAX_NFE, example=8)]
    metric: Annotated[
        str,
        About(
            'What is lowered: a paired error, or metric[:features[:reference]] as in "frechet:digits"',
            names=METRICS,
            length=200,
            pattern=pattern,
            parse=Objective.parse,
        ),
    ] = DEFAULT
    budget: Annotated[int, About("Schedules to evaluate; 0 for the effort's own number", low=0, high=MAX_BUDGET)] = 0
    seed: Annotated[int, About("Seed of the search's noises and choices", low=0, high=MAX_SEED)] = 0
    noises: Annotated[
        int, About("Start noises that a trial is measured on; 0 for the effort's own number", low=0, high=MAX_NOISES)
    ] = 0
    report: Annotated[
        str | None,
        About("Another metric, measured on what is found", length=200, pattern=pattern, parse=Objective.parse),
    ] = None
    sampler: Annotated[str, About("What proposes schedules", choices=SAMPLERS)] = "guided"
    limits: Annotated[Limits, About("What may end it before its budget is spent")] = field(default_factory=Limits)
    effort: Annotated[str | None, About("How much is spent on the search", choices=EFFORTS)] = None
    precision: Annotated[
        float | None,
        About("Test on more noises until the interval of the ratio reaches no further to either side", above=0, high=1),
    ] = None
    max_passes: Annotated[
        int | None,
        About("Network passes of one sampling run, at most: some calls go without guidance", low=1, high=2 * MAX_NFE),
    ] = None

    def __post_init__(self) -> None:
        check(self)
        if self.effort is None:
            object.__setattr__(self, "effort", CUSTOM if self.budget or self.noises else STANDARD)
        object.__setattr__(self, "budget", self.budget or self.sizes.budget)
        half = self.nfe > FEW_CALLS and self.sizes.calls is not None
        own = self.sizes.noises // 2 if half else self.sizes.noises
        object.__setattr__(self, "noises", self.noises or own)
        if self.noises < MIN_NOISES:
            raise InvalidInput(f"noises is a whole number from {MIN_NOISES} to {MAX_NOISES}, got {self.noises}")
        if self.limits.calls is None and self.sizes.calls is not None:
            object.__setattr__(self, "limits", replace(self.limits, calls=self.sizes.calls))
        if self.report is None and self.metric not in PAIRED:
            object.__setattr__(self, "report", DEFAULT)
        if self.report == self.metric:
            raise InvalidInput(f"{self.report} is what the search lowers: report another metric beside it, or none")
        if self.max_passes is not None and self.max_passes < self.nfe:
            raise InvalidInput(f"{self.nfe} calls take {self.nfe} passes or more, and max_passes is {self.max_passes}")
        if self.limits.improvement is not None and not SAMPLERS[self.sampler].forecasts:
            names = ", ".join(repr(name) for name in SAMPLERS if SAMPLERS[name].forecasts)
            raise InvalidInput(
                f"a limit of improvement rests on forecasts, which only {names} makes: {self.sampler!r} has none"
            )

    @property
    def sizes(self) -> Effort:
        """The effort's sizes and stages."""
        return EFFORTS[self.effort or STANDARD]

    @property
    def train_noises(self) -> int:
        """How many noises fits and polishes see."""
        return self.sizes.train * self.noises

    @property
    def validation_noises(self) -> int:
        """How many noises decide among finalists."""
        return int(self.sizes.validation * self.noises)

    @property
    def validation_pieces(self) -> tuple[int, ...]:
        """How many of them decide first who meets on the rest, and the rest, if any."""
        count = self.validation_noises
        first = self.noises // 2 if count > self.noises else count
        return tuple(size for size in (first, count - first) if size)

    @property
    def test_noises(self) -> int:
        """How many noises the published numbers are measured on, before `precision` asks for more."""
        return self.sizes.test * self.noises

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
    effort: str | None
    budget: int
    seed: int
    noises: int
    precision: float | None
    max_passes: int | None
    report: str | None
    sampler: str
    limits: Limits
