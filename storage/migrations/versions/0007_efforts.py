"""The effort of a search, the precision asked of its test, and the searches that were submitted together."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

COLUMNS = ("effort", "precision", "submission")
METRICS = (("searches", "metric"), ("searches", "report"), ("lessons", "metric"), ("published", "metric"))
JSON = (("lessons", "lesson"), ("published", "result"))  # hold "metric" and "report" as well
ADDED = (
    "mean",
    "typical",
    "trimmed",
    "saturating",
    "median",
    "p95",
    "switch",
)  # metrics of this version


def upgrade() -> None:
    """Add them: searches that are there were of a given size. The endpoint error is called by its name, rms."""
    with op.batch_alter_table("searches") as searches:
        searches.add_column(sa.Column("effort", sa.String(), nullable=False, server_default="custom"))
        searches.add_column(sa.Column("precision", sa.Double(), nullable=True))
        searches.add_column(sa.Column("submission", sa.String(32), nullable=True))
        searches.create_index("ix_searches_submission", ["submission"])
    _rename("endpoint", "rms")


def downgrade() -> None:
    """Take them away, and forget searches by metrics that older versions cannot read."""
    names = ", ".join(f"'{name}'" for name in ADDED)
    forgotten = f"SELECT id FROM searches WHERE metric IN ({names}) OR report IN ({names})"
    for table in ("trials", "events", "published", "lessons"):
        op.execute(f"DELETE FROM {table} WHERE search_id IN ({forgotten})")
    op.execute(f"DELETE FROM searches WHERE metric IN ({names}) OR report IN ({names})")
    _rename("rms", "endpoint")
    with op.batch_alter_table("searches") as searches:
        searches.drop_index("ix_searches_submission")
        for column in COLUMNS:
            searches.drop_column(column)


def _rename(old: str, new: str) -> None:
    """Write the new name of a metric wherever the old one stands alone."""
    for table, column in METRICS:
        statement = sa.text(f"UPDATE {table} SET {column} = :new WHERE {column} = :old")
        op.execute(statement.bindparams(old=old, new=new))
    for table, column in JSON:
        for key in ("metric", "report"):
            statement = sa.text(f"UPDATE {table} SET {column} = replace({column}, :old, :new)")
            op.execute(statement.bindparams(old=f'"{key}":"{old}"', new=f'"{key}":"{new}"'))
