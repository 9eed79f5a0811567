"""Trials in one line, for tests."""

from dataclasses import replace

from fewstep.schedule import Schedule
from fewstep.values.forecast import Forecast
from fewstep.values.origin import Origin
from fewstep.values.score import Score
from fewstep.values.trial import Candidate, Trial


def trial_of(
    number: int,
    schedule: Schedule,
    score: Score | None,
    origin: str,
    predicted: float | None = None,
    predicted_std: float | None = None,
    reason: str | None = None,
) -> Trial:
    """The trial of a schedule whose origin is written as a text."""
    forecast = None if predicted is None else Forecast(predicted, predicted_std or 0.0)
    return Trial(number, Candidate(schedule, Origin.parse(origin), forecast), score, reason)


def with_schedule(trial: Trial, schedule: Schedule) -> Trial:
    """The trial, as if its candidate had been ``schedule``."""
    return replace(trial, candidate=replace(trial.candidate, schedule=schedule))
