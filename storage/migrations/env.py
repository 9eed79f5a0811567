"""Run by Alembic: migrates over the connection that `storage.migrate` gives it."""

from alembic import context

from storage.migrate import VERSION_TABLE
from storage.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
context.run_migrations()
