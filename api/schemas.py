"""JSON shapes of the API: what it takes, checked strictly, and what it gives, built from the store's values."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.metric_schemas import Metric
from fewstep.errors import UnknownName
from fewstep.values.limits import MAX_CALLS, MAX_SECONDS, Limits
from fewstep.values.problem import MAX_BUDGET, MAX_NFE, MAX_NOISES, MIN_NOISES, NOISES, SAMPLERS, Problem, Score, Trial
from storage.store import MAX_PRIORITY
from storage.values import Search, SearchState

__all__ = [
    "In",
    "LimitsIn",
    "LimitsOut",
    "ScoreOut",
    "SearchIn",
    "SearchOut",
    "SearchesOut",
    "TrialOut",
    "TrialsOut",
]

MAX_SEED = 2**31 - 1


def _known(sampler: str) -> str:
    if sampler not in SAMPLERS:
        raise UnknownName("sampler", sampler[:40], SAMPLERS)
    return sampler


Sampler = Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": list(SAMPLERS)})]


class In(BaseModel):
    """A body: unknown fields are refused, and no value is bent into another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class LimitsIn(In):
    """What may end a search before its budget is spent; null or left out: no limit."""

    calls: int | None = Field(
        default=None, ge=1, le=MAX_CALLS, description="Network sample-calls, the teacher's included"
    )
    seconds: float | None = Field(
        default=None, gt=0, le=MAX_SECONDS, description="Of running, after which no trial begins"
    )
    failures: int | None = Field(default=None, ge=0, le=MAX_CALLS, description="Trials that may fail")
    improvement: float | None = Field(
        default=None, gt=0, le=1, description="Share of the best error below which no forecast reaches any more"
    )


class SearchIn(In):
    """What to search for and how much to spend."""

    model: str = Field(max_length=100, pattern=r"^[0-9A-Za-z_.-]+$", description="The model's id")
    nfe: int = Field(ge=1, le=MAX_NFE, description="Network calls per sample", examples=[8])
    metric: Metric = Field("endpoint", description="What is lowered: metric[:features[:reference]]")
    report: Metric | None = Field(None, description="Another metric, measured on what is published")
    sampler: Sampler = Field("guided", description="What proposes schedules")
    limits: LimitsIn = LimitsIn()
    budget: int = Field(400, ge=1, le=MAX_BUDGET, description="Schedules to evaluate")
    seed: int = Field(0, ge=0, le=MAX_SEED)
    noises: int = Field(NOISES, ge=MIN_NOISES, le=MAX_NOISES, description="Start noises that a trial is measured on")
    priority: int = Field(0, ge=-MAX_PRIORITY, le=MAX_PRIORITY, description="Higher goes first")

    def problem(self) -> Problem:
        """The shared value; raises `InvalidInput` where fields contradict each other."""
        fields = {name: value for name, value in self if name not in ("limits", "priority")}
        return Problem(**fields, limits=Limits(**dict(self.limits)))


class ScoreOut(BaseModel):
    """A measured error; lower is better."""

    value: float
    standard_error: float
    noises: int
    calls: int

    @classmethod
    def of(cls, score: Score) -> Self:
        return cls(**asdict(score))


class LimitsOut(BaseModel):
    """What may end a search early; null: no limit."""

    calls: int | None
    seconds: float | None
    failures: int | None
    improvement: float | None


class SearchOut(BaseModel):
    """A search: its problem, where it stands and the best score so far."""

    id: str
    model: str
    nfe: int
    metric: str
    report: str | None
    sampler: str
    limits: LimitsOut
    budget: int
    seed: int
    noises: int
    priority: int
    state: SearchState
    created: datetime
    started: datetime | None
    finished: datetime | None
    attempt: int
    error: str | None
    evaluations: int
    best: ScoreOut | None

    @classmethod
    def of(cls, search: Search) -> Self:
        fields = {name: getattr(search, name) for name in cls.model_fields if hasattr(search, name)}
        fields["best"] = None if search.best is None else ScoreOut.of(search.best)
        return cls(**asdict(search.problem), **fields)


class SearchesOut(BaseModel):
    """A page of searches, and the cursor of the page after it, if any."""

    items: list[SearchOut]
    next: str | None


class TrialOut(BaseModel):
    """One evaluated schedule; without a score, ``reason`` says why. One that lost to the best on the first noises was
    given up there: its score has fewer ``noises`` than the search, and its value is an estimate."""

    number: int
    origin: str
    score: ScoreOut | None
    predicted: float | None
    predicted_std: float | None
    reason: str | None
    digest: str
    schedule: dict[str, Any]

    @classmethod
    def of(cls, trial: Trial) -> Self:
        schedule = trial.schedule.to_dict()
        return cls(
            number=trial.number,
            origin=trial.origin,
            score=None if trial.score is None else ScoreOut.of(trial.score),
            predicted=trial.predicted,
            predicted_std=trial.predicted_std,
            reason=trial.reason,
            digest=schedule["digest"],
            schedule=schedule,
        )


class TrialsOut(BaseModel):
    """Trials by number, and the number to ask after for more, if any."""

    items: list[TrialOut]
    next: int | None
