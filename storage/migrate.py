"""Bring the tables up to date: Alembic, run from Python, one process at a time."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from fewstep.errors import ServiceError
from storage.engine import connect, lock
from storage.tables import Base

__all__ = ["VERSION_TABLE", "check", "differences", "downgrade", "upgrade"]

VERSION_TABLE = "fewstep_version"  # Optuna's tables bring an alembic_version of their own


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database up to a revision, in one transaction; callers that come meanwhile wait and find it done."""
    _run(url, command.upgrade, revision)


def downgrade(url: str, revision: str) -> None:
    """Bring the database back to a revision ("base": no tables)."""
    _run(url, command.downgrade, revision)


def _run(url: str, verb: Any, revision: str) -> None:
    engine = connect(url, foreign_keys=False)
    try:
        with engine.begin() as connection:
            lock(connection)
            config = _config()
            config.attributes["connection"] = connection
            verb(config, revision)
    finally:
        engine.dispose()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def check(connection: Connection) -> None:
    """Raise `ServiceError` unless the tables are those of this version of the code."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    current = _context(connection).get_current_revision()
    if current != head:
        raise ServiceError(f"the database is at revision {current}, this version wants {head}: migrate it")


def differences(connection: Connection) -> list[Any]:
    """What a new migration would have to change; empty where migrations and tables agree."""
    return list(compare_metadata(_context(connection), Base.metadata))


def _context(connection: Connection) -> MigrationContext:
    return MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE, "target_metadata": Base.metadata, "compare_type": True}
    )
