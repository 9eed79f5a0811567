"""Published results: those of the service's own searches, and those of searches elsewhere, stored as finished ones."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy.orm import Session

from fewstep import processes
from fewstep.errors import Conflict
from fewstep.values.model import Model
from fewstep.values.publication import Publication
from fewstep.values.published import Published
from fewstep.values.result import Result
from fewstep.values.search import SearchState
from storage.database import Database
from storage.engine import database_time, insert_once
from storage.events import write_event
from storage.mapping import problem_columns, value_of
from storage.queries import insert_model, published_row, search_row
from storage.tables import PublishedRow, SearchRow

__all__ = ["Publications", "write_result"]

ID = 32  # digits of a search's id
SAME = ("digest", "source", "shape", "process")  # fields in which models of one digest agree


class Publications:
    """Results from outside in one store. The service did not measure them; they are served as its own are."""

    def __init__(self, store: Database) -> None:
        self.store = store

    def add(self, publication: Publication) -> tuple[Published, bool]:
        """Store the result as that of a search which has succeeded, of its model, which is inserted where it is new;
        returns the published result and whether it is new. The same result again is found by the digest of its content.

        Raises `Conflict` where the service has another model of that digest.
        """
        process = processes.to_dict(processes.from_dict(publication.model.process))
        sent = replace(publication.model, process=process)
        problem, id = publication.result.problem, publication.digest[:ID]
        with self.store.write() as session:
            now = database_time(session)
            stored = value_of(Model, insert_model(session, replace(sent, created=now)))
            if any(getattr(stored, name) != getattr(sent, name) for name in SAME):
                raise Conflict(
                    f"model {stored.id} is here already from the source {stored.source!r}, with samples of shape "
                    f"{stored.shape} on a process {stored.process.get('kind')!r}: it is another one"
                )
            is_new = insert_once(
                session,
                SearchRow,
                id=id,
                **problem_columns(problem),
                priority=0,
                state=SearchState.SUCCEEDED,
                attempt=1,
                evaluations=publication.result.cost.evaluations,
                created=now,
                finished=now,
            )
            if is_new:
                write_result(session, search_row(session, id), publication.result, now, publication.version)
                write_event(session, id, "state", {"state": SearchState.SUCCEEDED}, now)
            return value_of(Published, published_row(session, id)), is_new


def write_result(session: Session, row: SearchRow, result: Result, now: datetime, version: str | None = None) -> None:
    """Write the result of a search, and the event that says so; ``version`` is that of the fewstep that found it, where
    that was outside the service. The caller holds the lock of the search's row, or has just inserted it."""
    schedule = result.schedule
    session.add(
        PublishedRow(
            search_id=row.id,
            model_id=row.model_id,
            digest=schedule.digest,
            metric=row.metric,
            nfe=schedule.nfe,
            value=float(result.score.value),
            result=result,
            created=now,
        )
    )
    data = {"digest": schedule.digest, "nfe": schedule.nfe, "ratio": result.ratio}
    write_event(session, row.id, "published", data if version is None else data | {"version": version}, now)
