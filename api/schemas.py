"""JSON shapes of the API: what it takes, checked strictly, and what it gives, built from the store's values."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fewstep.measure import PATTERN, Measure
from fewstep.problem import MAX_BUDGET, MAX_NFE, MAX_NOISES, MIN_NOISES, Problem, Score, Trial
from storage.store import MAX_PRIORITY
from storage.values import Published, Search, SearchState

__all__ = ["In", "PublishedOut", "SearchIn", "SearchOut", "SearchesOut", "TrialOut", "TrialsOut"]

MAX_SEED = 2**31 - 1


def _completed(metric: str) -> str:
    return str(Measure.parse(metric))


Metric = Annotated[str, AfterValidator(_completed), Field(max_length=200, json_schema_extra={"pattern": PATTERN})]


class In(BaseModel):
    """A body: unknown fields are refused, and no value is bent into another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class SearchIn(In):
    """What to search for and how much to spend."""

    model: str = Field(max_length=100, pattern=r"^[0-9A-Za-z_.-]+$", description="The model's id")
    nfe: int = Field(ge=1, le=MAX_NFE, description="Network calls per sample", examples=[8])
    metric: Metric = "endpoint"
    budget: int = Field(400, ge=1, le=MAX_BUDGET, description="Schedules to evaluate")
    seed: int = Field(0, ge=0, le=MAX_SEED)
    noises: int = Field(128, ge=MIN_NOISES, le=MAX_NOISES, description="Start noises that a trial is measured on")
    priority: int = Field(0, ge=-MAX_PRIORITY, le=MAX_PRIORITY, description="Higher goes first")

    def problem(self) -> Problem:
        """The shared value."""
        return Problem(self.model, self.nfe, self.metric, self.budget, self.seed, self.noises)


class ScoreOut(BaseModel):
    """A measured error; lower is better."""

    value: float
    standard_error: float
    noises: int
    calls: int

    @classmethod
    def of(cls, score: Score) -> Self:
        return cls(**asdict(score))


class SearchOut(BaseModel):
    """A search: its problem, where it stands and the best score so far."""

    id: str
    model: str
    nfe: int
    metric: str
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
    """One evaluated schedule; without a score, ``reason`` says why."""

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


class BaselineOut(BaseModel):
    """The best hand-made solver on the same held-out noises."""

    name: str
    score: ScoreOut
    schedule: dict[str, Any]


class PublishedOut(BaseModel):
    """A search's result: the schedule and its error on noises that the search never saw, beside the baseline's.

    ``ratio`` is score / baseline with its 95 % interval; ``calls`` and ``seconds`` are what the search spent.
    """

    digest: str
    model: str
    search: str
    nfe: int
    metric: str
    budget: int
    seed: int
    noises: int
    score: ScoreOut
    baseline: BaselineOut
    ratio: float
    ratio_low: float
    ratio_high: float
    teacher_error: float
    calls: int
    evaluations: int
    seconds: float
    tau: float | None
    created: datetime
    schedule: dict[str, Any]

    @classmethod
    def of(cls, published: Published) -> Self:
        result = published.result
        plain = ("ratio", "ratio_low", "ratio_high", "teacher_error", "calls", "evaluations", "seconds", "tau")
        return cls(
            **{name: getattr(result, name) for name in plain},
            digest=published.digest,
            model=published.model_id,
            search=published.search_id,
            created=published.created,
            nfe=result.schedule.nfe,
            metric=result.problem.metric,
            budget=result.problem.budget,
            seed=result.problem.seed,
            noises=result.problem.noises,
            score=ScoreOut.of(result.score),
            baseline=BaselineOut(
                name=result.baseline_name,
                score=ScoreOut.of(result.baseline),
                schedule=result.baseline_schedule.to_dict(),
            ),
            schedule=result.schedule.to_dict(),
        )
