"""Rows to values."""

import json
from dataclasses import asdict
from typing import Any

from fewstep.values.problem import Problem, Trial
from storage.codec import dump, load_limits, load_result, load_schedule, load_score
from storage.tables import EventRow, ModelRow, PublishedRow, SearchRow, TrialRow
from storage.values import Event, Facts, Model, Published, Search

__all__ = ["model_columns", "to_event", "to_model", "to_published", "to_search", "to_trial"]


def to_model(row: ModelRow) -> Model:
    """The model of a row."""
    return Model(
        id=row.id,
        name=row.name,
        source=row.source,
        summary=row.summary,
        shape=tuple(json.loads(row.shape)),
        process=json.loads(row.process),
        digest=row.digest,
        created=row.created,
        state=row.state,
        reason=row.reason,
        facts=Facts(**json.loads(row.facts)),
    )


def model_columns(model: Model) -> dict[str, Any]:
    """The columns that say what a model is; inverse of `to_model`."""
    texts = {"shape": dump(model.shape), "process": dump(model.process), "facts": dump(asdict(model.facts))}
    return {**vars(model), **texts}


def to_search(row: SearchRow) -> Search:
    """The search of a row."""
    return Search(
        id=row.id,
        problem=Problem(
            row.model_id,
            row.nfe,
            row.metric,
            row.budget,
            row.seed,
            row.noises,
            row.report,
            row.sampler,
            load_limits(row.limits),
        ),
        state=row.state,
        created=row.created,
        started=row.started,
        finished=row.finished,
        attempt=row.attempt,
        error=row.error,
        evaluations=row.evaluations,
        best=load_score(row.best),
        priority=row.priority,
    )


def to_trial(row: TrialRow) -> Trial:
    """The trial of a row."""
    schedule, score = load_schedule(row.schedule), load_score(row.score)
    return Trial(row.number, schedule, score, row.origin, row.predicted, row.predicted_std, row.reason)


def to_event(row: EventRow) -> Event:
    """The event of a row."""
    return Event(row.id, row.search_id, row.kind, json.loads(row.data), row.created)


def to_published(row: PublishedRow) -> Published:
    """The published result of a row."""
    return Published(row.digest, row.model_id, row.search_id, load_result(row.result), row.created)
