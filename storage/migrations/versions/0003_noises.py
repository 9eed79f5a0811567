"""On how many noises a search measures its trials."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the number; searches that are there used 128."""
    with op.batch_alter_table("searches") as searches:
        searches.add_column(sa.Column("noises", sa.Integer(), nullable=False, server_default="128"))


def downgrade() -> None:
    """Take it away."""
    with op.batch_alter_table("searches") as searches:
        searches.drop_column("noises")
