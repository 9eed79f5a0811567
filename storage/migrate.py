"""Schema migrations: Alembic, run from Python, one process at a time."""

import os
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from fewstep.errors import Conflict, ServiceError
from storage.engine import connect, lock_schema
from storage.tables import Base

__all__ = ["VERSION_TABLE", "check", "differences", "downgrade", "draft", "upgrade"]

VERSIONS = Path(__file__).parent / "migrations" / "versions"
VERSION_TABLE = "fewstep_version"  # Optuna's tables bring an alembic_version of their own


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database up to a revision, in one transaction; concurrent callers wait and have nothing left to do.

    Raises `Conflict` where the database is at a revision that this version does not know.
    """
    _run(url, command.upgrade, revision)


def downgrade(url: str, revision: str) -> None:
    """Bring the database back to a revision ("base": no tables)."""
    _run(url, command.downgrade, revision)


def draft(url: str, message: str, folder: Path = VERSIONS) -> Path:
    """Write a draft of the migration from a database at head to the present tables; edit it before use.

    ``python -c "from storage import migrate; migrate.draft('sqlite:///var/fewstep.db', 'add colours')"``
    """
    engine = connect(url)
    config = _config(folder)
    number = f"{int(_head() or 0) + 1:04d}"
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            script: Any = command.revision(config, message, autogenerate=True, rev_id=number, version_path=str(folder))
    finally:
        engine.dispose()
    return Path(script.path)


def _run(url: str, verb: Any, revision: str) -> None:
    engine = connect(url, foreign_keys=False)
    try:
        with engine.begin() as connection:
            lock_schema(connection)
            config = _config()
            config.attributes["connection"] = connection
            verb(config, revision)
    except CommandError as error:
        raise Conflict(
            f"the database cannot be brought to {revision!r}: {error}; a newer version may own it"
        ) from error
    finally:
        engine.dispose()


def _config(*folders: Path) -> Config:
    config = Config(stdout=StringIO())
    config.set_main_option("script_location", _escaped(VERSIONS.parent))
    config.set_main_option("version_locations", os.pathsep.join(map(_escaped, {VERSIONS, *folders})))
    config.set_main_option("path_separator", "os")
    return config


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")


def check(connection: Connection) -> None:
    """Raise `ServiceError` unless the tables are those of this version of the code."""
    head = _head()
    current = _context(connection).get_current_revision()
    if current != head:
        raise ServiceError(f"the database is at revision {current}, this version wants {head}: migrate it")


@cache
def _head() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def differences(connection: Connection) -> list[Any]:
    """What a new migration would have to change; empty where migrations and tables agree."""
    return list(compare_metadata(_context(connection), Base.metadata))


def _context(connection: Connection) -> MigrationContext:
    return MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE, "target_metadata": Base.metadata, "compare_type": True}
    )
