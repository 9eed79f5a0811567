"""What a search reports beside its metric, what proposes schedules, and what may end it early."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

COLUMNS = ("report", "sampler", "limits")


def upgrade() -> None:
    """Add them; searches that are there reported nothing else, were guided and had no limits."""
    with op.batch_alter_table("searches") as searches:
        searches.add_column(sa.Column("report", sa.String(), nullable=True))
        searches.add_column(sa.Column("sampler", sa.String(), nullable=False, server_default="guided"))
        searches.add_column(sa.Column("limits", sa.Text(), nullable=False, server_default="{}"))


def downgrade() -> None:
    """Take them away."""
    with op.batch_alter_table("searches") as searches:
        for column in COLUMNS:
            searches.drop_column(column)
