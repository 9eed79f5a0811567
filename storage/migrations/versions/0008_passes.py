"""The most network passes that a sampling run of the schedule to find may take."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add it: searches that are there had no such bound."""
    with op.batch_alter_table("searches") as searches:
        searches.add_column(sa.Column("max_passes", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Take it away."""
    with op.batch_alter_table("searches") as searches:
        searches.drop_column("max_passes")
