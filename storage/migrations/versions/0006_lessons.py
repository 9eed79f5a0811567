"""What a search teaches later ones, of any model."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "lessons",
        sa.Column("search_id", sa.String(32), nullable=False),
        sa.Column("model_id", sa.String(16), nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("lesson", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name="fk_lessons_search_id_searches", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_lessons_model_id_models", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("search_id", name="pk_lessons"),
    )
    op.create_index("ix_lessons_metric_created", "lessons", ["metric", "created"])


def downgrade() -> None:
    """Drop it: later searches begin with physics alone."""
    op.drop_table("lessons")
