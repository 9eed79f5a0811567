"""The JSON shape of what a search published."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel

from api.schemas import LimitsOut, ScoreOut
from storage.values import Published

__all__ = ["PublishedOut"]


class BaselineOut(BaseModel):
    """The best hand-made solver on the same held-out noises."""

    name: str
    score: ScoreOut
    schedule: dict[str, Any]


class PublishedOut(BaseModel):
    """A search's result: the schedule and its error on noises that the search never saw, beside the baseline's.

    ``ratio`` is score / baseline with its 95 % interval, ``low`` to ``high`` that of the score; ``second`` and
    ``second_baseline`` are the same two by the metric ``report``; ``calls`` and ``seconds`` are what the search spent,
    and ``ended`` says why there were no more trials: budget, calls, seconds, improvement or space.
    """

    digest: str
    model: str
    search: str
    nfe: int
    metric: str
    report: str | None
    sampler: str
    limits: LimitsOut
    budget: int
    seed: int
    noises: int
    score: ScoreOut
    low: float | None
    high: float | None
    baseline: BaselineOut
    second: ScoreOut | None
    second_baseline: ScoreOut | None
    ratio: float
    ratio_low: float
    ratio_high: float
    teacher_error: float
    calls: int
    evaluations: int
    seconds: float
    tau: float | None
    passes: int
    ended: str
    created: datetime
    schedule: dict[str, Any]

    @classmethod
    def of(cls, published: Published) -> Self:
        result = published.result
        made = ("score", "baseline", "second", "second_baseline", "schedule")
        plain = {n: getattr(result, n) for n in cls.model_fields if hasattr(result, n) and n not in made}
        asked = {n: v for n, v in asdict(result.problem).items() if n in cls.model_fields and n not in ("model", "nfe")}
        return cls(
            **plain,
            **asked,
            digest=published.digest,
            model=published.model_id,
            search=published.search_id,
            created=published.created,
            nfe=result.schedule.nfe,
            score=ScoreOut.of(result.score),
            second=None if result.second is None else ScoreOut.of(result.second),
            second_baseline=None if result.second_baseline is None else ScoreOut.of(result.second_baseline),
            baseline=BaselineOut(
                name=result.baseline_name,
                score=ScoreOut.of(result.baseline),
                schedule=result.baseline_schedule.to_dict(),
            ),
            schedule=result.schedule.to_dict(),
        )
