"""The job queue of searches: their states, and the leases of the runners that work on them.

    queued → running → succeeded | failed | cancelled;   queued | running ⇄ paused;   running → queued (lease lost)

Every change locks the search's row and compares (state, lease token) first, so that a runner which lost its lease
cannot change anything. Leases use the database's time.
"""

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from fewstep.errors import Conflict, InvalidInput, NotFound
from fewstep.grids.arc_length import ArcLength
from fewstep.values.codec import decode
from fewstep.values.result import Result
from fewstep.values.score import Score
from fewstep.values.search import LIVE, TERMINAL, Search, SearchState
from fewstep.values.trial import Trial
from storage.database import Database
from storage.engine import database_time, insert_once
from storage.events import seconds_running, storable, write_event
from storage.lease import MAX_ATTEMPTS, Claim, LeaseLost, lease_length
from storage.mapping import value_of
from storage.publications import write_result
from storage.queries import search_row
from storage.tables import CurveRow, LessonRow, SearchRow, TrialRow

__all__ = ["Jobs"]


class Jobs:
    """The queue in one store: verbs of runners (claim, heartbeat, record, …) and of users (pause, resume, cancel).

    Verbs that take a claim raise `LeaseLost` when the search was paused, cancelled, requeued or finished meanwhile.
    """

    def __init__(self, store: Database) -> None:
        self.store = store

    def claim(
        self, runner: str, lease: float, without: Collection[str] = (), beside: Sequence[Search] = ()
    ) -> Claim | None:
        """Claim the queued search of highest priority, oldest first, for ``lease`` seconds; None where none waits.

        ``runner`` is the runner's name, for people to read; searches of the models ``without`` are left to others.
        Beside searches that the runner works on already it is one of their model, and not one of a call more than any
        of them: that begins with what they find.
        """
        query = select(SearchRow).where(SearchRow.state == SearchState.QUEUED, SearchRow.model_id.not_in(without))
        if beside:
            waiting = [search.problem.nfe + 1 for search in beside]
            query = query.where(SearchRow.model_id == beside[0].problem.model, SearchRow.nfe.not_in(waiting))
        query = query.order_by(SearchRow.priority.desc(), SearchRow.number).limit(1)
        with self.store.write() as session:
            row = session.scalars(query.with_for_update(skip_locked=True)).first()
            if row is None:
                return None
            now = database_time(session)
            elapsed = seconds_running(session, row.id)
            row.token = secrets.token_hex(16)
            row.runner = runner
            row.lease_until = now + lease_length(lease)
            row.started = row.started or now
            _move(session, row, SearchState.RUNNING, now)
            return Claim(value_of(Search, row), row.token, elapsed)

    def heartbeat(self, claim: Claim, lease: float) -> None:
        """Extend the lease to ``lease`` seconds from now."""
        with self.store.write() as session:
            row = _row_of(session, claim)
            row.lease_until = database_time(session) + lease_length(lease)

    def slots(self, claim: Claim, busy: Sequence[float]) -> None:
        """Record, as an event, the share of the time that each slot has worked since the runner had a search."""
        with self.store.write() as session:
            row = _row_of(session, claim)
            write_event(session, row.id, "slots", {"busy": list(busy)}, database_time(session))

    def phase(self, claim: Claim, phase: str, done: int, total: int) -> None:
        """Record the progress of a phase of the search as an event."""
        with self.store.write() as session:
            row = _row_of(session, claim)
            data = {"phase": phase, "done": done, "total": total}
            write_event(session, row.id, "phase", data, database_time(session))

    def record_curve(self, claim: Claim, arc: ArcLength) -> None:
        """Record the arc length of the search's model, unless an earlier search of it recorded one."""
        with self.store.write() as session:
            row = _row_of(session, claim)
            now = database_time(session)
            insert_once(session, CurveRow, model_id=row.model_id, curve=arc.to_dict(), created=now)

    def record(self, claim: Claim, trial: Trial) -> None:
        """Record a trial; does nothing where its number is recorded already."""
        with self.store.write() as session:
            row = _row_of(session, claim)
            now = database_time(session)
            new = insert_once(
                session,
                TrialRow,
                search_id=row.id,
                number=trial.number,
                schedule=trial.schedule,
                score=trial.score,
                origin=str(trial.origin),
                predicted=None if trial.predicted is None else float(trial.predicted),
                predicted_std=None if trial.predicted_std is None else float(trial.predicted_std),
                reason=None if trial.reason is None else storable(trial.reason),
                created=now,
            )
            if not new:
                return
            row.evaluations += 1
            best = None if row.best is None else decode(Score, row.best)
            complete = trial.score is not None and trial.score.noises >= row.noises  # else it was stopped early
            if trial.score is not None and complete and (best is None or trial.score.value < best.value):
                best = trial.score
                row.best = best
            data = {
                "number": trial.number,
                "origin": str(trial.origin),
                "stage": trial.origin.stage,
                "value": trial.score and trial.score.value,
                "standard_error": trial.score and trial.score.standard_error,
                "noises": trial.score and trial.score.noises,
                "predicted": trial.predicted,
                "best": best and best.value,
            }
            write_event(session, row.id, "trial", data, now)

    def release(self, claim: Claim, reason: str | None = None) -> None:
        """Return the search to the queue, as when a runner shuts down."""
        with self.store.write() as session:
            row, why = _row_of(session, claim), None if reason is None else storable(reason)
            _move(session, row, SearchState.QUEUED, database_time(session), why)

    def succeed(self, claim: Claim, result: Result, lesson: str | None = None) -> None:
        """Publish the result and finish; store the transfer record ``lesson`` (JSON), if any, for later searches.

        Raises `InvalidInput` where the result answers another problem.
        """
        if result.problem != claim.search.problem:
            raise InvalidInput(
                f"the result answers {result.problem}, the search asks for {claim.search.problem}: publish its own"
            )
        with self.store.write() as session:
            row = _row_of(session, claim)
            now = database_time(session)
            write_result(session, row, result, now)
            if lesson is not None:
                session.add(
                    LessonRow(search_id=row.id, model_id=row.model_id, metric=row.metric, lesson=lesson, created=now)
                )
            _move(session, row, SearchState.SUCCEEDED, now)

    def fail(self, claim: Claim, reason: str) -> None:
        """Finish without a result."""
        with self.store.write() as session:
            _move(session, _row_of(session, claim), SearchState.FAILED, database_time(session), storable(reason))

    def reap(self, max_attempts: int = MAX_ATTEMPTS) -> list[Search]:
        """Requeue running searches whose lease expired, or fail them after ``max_attempts``; returns them."""
        with self.store.write() as session:
            now = database_time(session)
            query = select(SearchRow).where(SearchRow.state == SearchState.RUNNING, SearchRow.lease_until <= now)
            rows = session.scalars(query.order_by(SearchRow.number).with_for_update(skip_locked=True)).all()
            for row in rows:
                reason = f"runner {row.runner} stopped answering in attempt {row.attempt} of {max_attempts}"
                if row.attempt >= max_attempts:
                    _move(session, row, SearchState.FAILED, now, reason)
                else:
                    row.attempt += 1
                    _move(session, row, SearchState.QUEUED, now, reason)
            return [value_of(Search, row) for row in rows]

    def pause(self, id: str) -> Search:
        """Stop a search until `resume`; its trials stay. Raises `NotFound`, or `Conflict` once finished."""
        return self._transition(id, SearchState.PAUSED, (SearchState.QUEUED, SearchState.RUNNING), SearchState.PAUSED)

    def resume(self, id: str) -> Search:
        """Queue a paused search again. Raises `NotFound`, or `Conflict` once finished."""
        return self._transition(id, SearchState.QUEUED, (SearchState.PAUSED,), SearchState.QUEUED, SearchState.RUNNING)

    def cancel(self, id: str) -> Search:
        """Finish a search without a result. Raises `NotFound`, or `Conflict` once succeeded or failed."""
        return self._transition(id, SearchState.CANCELLED, LIVE, SearchState.CANCELLED)

    def _transition(
        self, id: str, to: SearchState, sources: tuple[SearchState, ...], *unchanged: SearchState
    ) -> Search:
        """Move a search from one of ``sources`` to ``to``; does nothing where its state is in ``unchanged``."""
        with self.store.write() as session:
            row = search_row(session, id, for_update=True)
            if row.state in sources:
                _move(session, row, to, database_time(session))
            elif row.state not in unchanged:
                raise Conflict(f"search {id} has {row.state}: it cannot become {to} any more")
            return value_of(Search, row)


def _row_of(session: Session, claim: Claim) -> SearchRow:
    """The claim's row, locked until the transaction ends; raises `LeaseLost`."""
    try:
        row = search_row(session, claim.search.id, for_update=True)
    except NotFound:
        raise LeaseLost(f"search {claim.search.id} was deleted: stop working on it") from None
    if row.state != SearchState.RUNNING or row.token != claim.token:
        raise LeaseLost(f"search {row.id} is {row.state}, no longer under this lease: stop working on it")
    return row


def _move(session: Session, row: SearchRow, to: SearchState, now: datetime, reason: str | None = None) -> None:
    row.state = to
    if to is not SearchState.RUNNING:
        row.token = row.runner = row.lease_until = None
    if to in TERMINAL:
        row.finished = now
    if to is SearchState.FAILED:
        row.error = reason
    data = {"state": to} if reason is None else {"state": to, "reason": reason}
    write_event(session, row.id, "state", data, now)
