"""The arc length of a model, as the first search of it measured it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "curves",
        sa.Column("model_id", sa.String(16), nullable=False),
        sa.Column("curve", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_curves_model_id_models", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("model_id", name="pk_curves"),
    )


def downgrade() -> None:
    """Drop it: the next search of a model measures again."""
    op.drop_table("curves")
