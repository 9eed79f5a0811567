"""Connections to SQLite and PostgreSQL, configured so that both give the same guarantees.

| guarantee | SQLite | PostgreSQL |
|---|---|---|
| a writer sees nothing stale | BEGIN IMMEDIATE: one writer at a time | row locks (FOR UPDATE) |
| readers never wait | WAL | MVCC |
| deleting a model deletes its searches and schedules | PRAGMA foreign_keys | always |
| time is the database's | strftime('now') | clock_timestamp() |
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from fewstep.errors import FewstepError, InvalidInput, ServiceError

__all__ = ["READ_ONLY", "translate_errors", "connect", "insert_once", "database_time", "lock_schema"]

BUSY_MILLISECONDS = 30_000
PAUSE = 0.02  # seconds between two attempts to switch to WAL
READ_ONLY = "fewstep_read_only"
LOCK_KEY = 0x6665_7773_7465_70  # "fewstep": the advisory lock of the schema
INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
CLOCKS = {"sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')", "postgresql": "SELECT clock_timestamp()"}


def connect(url: str, *, foreign_keys: bool = True) -> Engine:
    """The engine of a database URL; makes the folder of a SQLite file. Raises `InvalidInput`.

    ``foreign_keys`` False is for migrations: SQLite changes a table by copying it, and must not cascade meanwhile.
    """
    database = _parse(url)
    if database.get_backend_name() == "postgresql":
        return create_engine(database, pool_pre_ping=True)
    folder = Path(str(database.database)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"the folder {folder} of the database cannot be made: {error}") from error
    engine = create_engine(database)

    @event.listens_for(engine, "connect")
    def _set_up(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # so that the driver leaves BEGIN to us
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        _enable_wal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA foreign_keys = {int(foreign_keys)}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        read_only = connection.get_execution_options().get(READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _enable_wal(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging, with retries: on a new file several processes refuse each other at once, which
    SQLite's own timeout does not cover."""
    deadline = monotonic() + BUSY_MILLISECONDS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(PAUSE)


def _parse(url: str) -> URL:
    remedy = "use sqlite:///path/to/file.db or postgresql+psycopg://user@host/database"
    try:
        database = make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidInput(f"the database URL cannot be read: {remedy}") from None
    if database.drivername in ("postgresql", "postgresql+psycopg"):
        return database.set(drivername="postgresql+psycopg")
    if database.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise InvalidInput(f"databases of kind {database.drivername!r} are not supported: {remedy}")
    if database.database in (None, "", ":memory:"):
        raise InvalidInput("a database in memory cannot be shared between processes: use sqlite:///path/to/file.db")
    return database


def lock_schema(connection: Connection) -> None:
    """Hold the lock of the schema until this transaction ends; other callers wait."""
    if connection.dialect.name == "postgresql":  # SQLite's BEGIN IMMEDIATE has done so already
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})


def database_time(session: Session) -> datetime:
    """The database's own time, so that runners with wrong clocks agree on leases."""
    now = session.scalar(text(CLOCKS[session.get_bind().dialect.name]))
    if isinstance(now, datetime):
        return now.astimezone(UTC)
    return datetime.fromisoformat(str(now)).replace(tzinfo=UTC)


def insert_once(session: Session, table: Any, **values: Any) -> bool:
    """Insert a row unless one with the same unique key exists; returns whether a row was inserted."""
    insert = INSERTS[session.get_bind().dialect.name](table)
    key = table.__table__.primary_key.columns
    return session.execute(insert.values(**values).on_conflict_do_nothing().returning(*key)).first() is not None


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate the driver's errors into `ServiceError`, which callers may retry; an error that a column type of ours
    raised stays as it is."""
    try:
        yield
    except PoolTimeout as error:
        raise ServiceError(f"every connection is busy: {error}; retry later") from error
    except StatementError as error:
        if isinstance(error.orig, FewstepError):
            raise error.orig from None
        if not isinstance(error, DBAPIError) or isinstance(error, (IntegrityError, DataError)):
            raise
        raise ServiceError(f"the database did not answer as it should (was it migrated?): {error.orig}") from error
