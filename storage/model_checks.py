"""The queue of model checks: a runner calls a submitted model, which then is ready for searches or refused.

    submitted → ready | refused;   refused → submitted (sent again)

As with searches, every change locks the model's row and compares the lease token first, on the database's time.
"""

import secrets
from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from fewstep.errors import Conflict, NotFound
from fewstep.values.model import Facts, Model, ModelState
from storage.database import Database
from storage.engine import database_time
from storage.events import storable
from storage.lease import MAX_ATTEMPTS, LeaseLost, ModelClaim, lease_length
from storage.mapping import model_columns, value_of
from storage.queries import model_row
from storage.tables import ModelRow

__all__ = ["ModelChecks"]


class ModelChecks:
    """The queue in one store: verbs of runners on submitted models.

    Verbs that take a claim raise `LeaseLost` when the model was deleted, or claimed by another runner meanwhile.
    """

    def __init__(self, store: Database) -> None:
        self.store = store

    def claim(self, runner: str, lease: float, without: Collection[str] = ()) -> ModelClaim | None:
        """Claim the oldest submitted model that no runner has for ``lease`` seconds, but for the models ``without``;
        None where none waits."""
        query = select(ModelRow).where(ModelRow.state == ModelState.SUBMITTED, ModelRow.token.is_(None))
        query = query.where(ModelRow.id.not_in(without))
        query = query.order_by(ModelRow.created, ModelRow.id).limit(1)
        with self.store.write() as session:
            row = session.scalars(query.with_for_update(skip_locked=True)).first()
            if row is None:
                return None
            row.token = secrets.token_hex(16)
            row.runner = runner
            row.lease_until = database_time(session) + lease_length(lease)
            return ModelClaim(value_of(Model, row), row.token)

    def heartbeat(self, claim: ModelClaim, lease: float) -> None:
        """Extend the lease to ``lease`` seconds from now."""
        with self.store.write() as session:
            _row_of(session, claim).lease_until = database_time(session) + lease_length(lease)

    def describe(self, claim: ModelClaim, model: Model) -> ModelClaim:
        """Store the description of a hub's model, read from its files; returns the claim on the model with it.

        ``model`` has the claim's id and the digest of its files. Raises `Conflict` where another model has that digest.
        """
        with self.store.write() as session:
            row = _row_of(session, claim)
            twin = session.scalar(select(ModelRow.id).where(ModelRow.digest == model.digest, ModelRow.id != row.id))
            if twin is not None:
                raise Conflict(f"it is the very model {twin}, which was there before: use that one")
            columns = model_columns(model)
            for name in ("summary", "shape", "process", "digest", "facts"):
                setattr(row, name, columns[name])
            return replace(claim, model=value_of(Model, row))

    def ready(self, claim: ModelClaim, facts: Facts) -> None:
        """End the check well: searches may use the model."""
        with self.store.write() as session:
            row = _row_of(session, claim)
            row.facts = facts
            _end(row, ModelState.READY)

    def refuse(self, claim: ModelClaim, reason: str) -> None:
        """End the check with a refusal: searches may not use the model, for this reason."""
        with self.store.write() as session:
            _end(_row_of(session, claim), ModelState.REFUSED, storable(reason))

    def release(self, claim: ModelClaim, reason: str | None = None) -> None:
        """Return the model to the queue, as when a runner shuts down, with the reason that it waits, if any."""
        with self.store.write() as session:
            _end(_row_of(session, claim), ModelState.SUBMITTED, None if reason is None else storable(reason))

    def reap(self, max_attempts: int = MAX_ATTEMPTS) -> list[Model]:
        """Requeue the models whose lease expired, or refuse them after ``max_attempts``; returns them."""
        with self.store.write() as session:
            query = select(ModelRow).where(ModelRow.token.is_not(None), ModelRow.lease_until <= database_time(session))
            rows = session.scalars(query.order_by(ModelRow.id).with_for_update(skip_locked=True)).all()
            for row in rows:
                if row.attempt >= max_attempts:
                    reason = f"runner {row.runner} stopped answering in attempt {row.attempt} of {max_attempts}"
                    _end(row, ModelState.REFUSED, reason)
                else:
                    row.attempt += 1
                    _end(row, ModelState.SUBMITTED)
            return [value_of(Model, row) for row in rows]


def _row_of(session: Session, claim: ModelClaim) -> ModelRow:
    """The claim's row, locked until the transaction ends; raises `LeaseLost`."""
    try:
        row = model_row(session, claim.model.id, lock="update")
    except NotFound:
        raise LeaseLost(f"model {claim.model.id} was deleted: stop working on it") from None
    if row.token != claim.token:
        raise LeaseLost(f"model {row.id} is {row.state}, no longer under this lease: stop working on it")
    return row


def _end(row: ModelRow, state: ModelState, reason: str | None = None) -> None:
    row.state = state
    row.reason = reason
    row.token = row.runner = row.lease_until = None
