"""The state machine of submitted models: who may try what, and whether searches may name it.

    submitted → ready | refused;   refused → submitted (sent again)

As with searches, every change holds the model's row and compares (state, lease token) first, on the database's time.
"""

import secrets
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from fewstep.errors import Conflict, NotFound
from fewstep.values.model import Facts, Model, ModelState
from storage.database import Database
from storage.engine import moment
from storage.lease import MAX_ATTEMPTS, LeaseLost, ModelClaim, lasting
from storage.log import readable
from storage.mapping import model_columns, value_of
from storage.queries import model_row
from storage.tables import ModelRow

__all__ = ["Probes"]


class Probes:
    """Verbs of runners on the submitted models of one store.

    A claim's verbs raise `LeaseLost` when the model was deleted, or given to another runner meanwhile.
    """

    def __init__(self, store: Database) -> None:
        self.store = store

    def claim(self, runner: str, lease: float) -> ModelClaim | None:
        """Take the oldest submitted model that nobody holds for ``lease`` seconds; None where none waits."""
        query = select(ModelRow).where(ModelRow.state == ModelState.SUBMITTED, ModelRow.token.is_(None))
        query = query.order_by(ModelRow.created, ModelRow.id).limit(1)
        with self.store.write() as session:
            row = session.scalars(query.with_for_update(skip_locked=True)).first()
            if row is None:
                return None
            row.token, row.runner = secrets.token_hex(16), runner
            row.lease_until = moment(session) + lasting(lease)
            return ModelClaim(value_of(Model, row), row.token)

    def heartbeat(self, claim: ModelClaim, lease: float) -> None:
        """Extend the lease to ``lease`` seconds from now."""
        with self.store.write() as session:
            _held(session, claim).lease_until = moment(session) + lasting(lease)

    def fetched(self, claim: ModelClaim, model: Model) -> ModelClaim:
        """Keep what the files of a hub's model say of it; the claim goes on, on the model as it is now known.

        ``model`` has the claim's id, and the digest of its files. Raises `Conflict` where that model is there already.
        """
        with self.store.write() as session:
            row = _held(session, claim)
            same = session.scalar(select(ModelRow.id).where(ModelRow.digest == model.digest, ModelRow.id != row.id))
            if same is not None:
                raise Conflict(f"it is the very model {same}, which was there before: use that one")
            columns = model_columns(model)
            for name in ("summary", "shape", "process", "digest", "facts"):
                setattr(row, name, columns[name])
            return replace(claim, model=value_of(Model, row))

    def ready(self, claim: ModelClaim, facts: Facts) -> None:
        """Let searches name the model."""
        with self.store.write() as session:
            row = _held(session, claim)
            row.facts = facts
            _settle(row, ModelState.READY)

    def refuse(self, claim: ModelClaim, reason: str) -> None:
        """Keep searches from naming the model, and say why."""
        with self.store.write() as session:
            _settle(_held(session, claim), ModelState.REFUSED, readable(reason))

    def release(self, claim: ModelClaim) -> None:
        """Give the model back, as when a runner shuts down."""
        with self.store.write() as session:
            _settle(_held(session, claim), ModelState.SUBMITTED)

    def reap(self, max_attempts: int = MAX_ATTEMPTS) -> list[Model]:
        """Give back the models whose lease ran out, or refuse them after ``max_attempts``; which ones."""
        with self.store.write() as session:
            query = select(ModelRow).where(ModelRow.token.is_not(None), ModelRow.lease_until <= moment(session))
            rows = session.scalars(query.order_by(ModelRow.id).with_for_update(skip_locked=True)).all()
            for row in rows:
                if row.attempt >= max_attempts:
                    reason = f"runner {row.runner} stopped answering in attempt {row.attempt} of {max_attempts}"
                    _settle(row, ModelState.REFUSED, reason)
                else:
                    row.attempt += 1
                    _settle(row, ModelState.SUBMITTED)
            return [value_of(Model, row) for row in rows]


def _held(session: Session, claim: ModelClaim) -> ModelRow:
    """The claim's row, locked until the transaction ends; raises `LeaseLost`."""
    try:
        row = model_row(session, claim.model.id, hold="change")
    except NotFound:
        raise LeaseLost(f"model {claim.model.id} was deleted: stop working on it") from None
    if row.token != claim.token:
        raise LeaseLost(f"model {row.id} is {row.state}, no longer under this lease: stop working on it")
    return row


def _settle(row: ModelRow, state: ModelState, reason: str | None = None) -> None:
    row.state, row.reason = state, reason
    row.token = row.runner = row.lease_until = None
