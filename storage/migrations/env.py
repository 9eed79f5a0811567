"""Run by Alembic: migrates over the connection that `storage.migrate` gives it."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import TypeDecorator

from storage.migrate import VERSION_TABLE
from storage.tables import Base


def _plain(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """Migrations name the database's own types: ours may change their meaning later."""
    return f"sa.{item.impl!r}" if kind == "type" and isinstance(item, TypeDecorator) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    render_item=_plain,
)
context.run_migrations()
