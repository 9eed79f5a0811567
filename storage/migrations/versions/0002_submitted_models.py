"""Models that are tried before searches may name them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

STATES = ("submitted", "ready", "refused")
COLUMNS = ("state", "reason", "facts", "attempt", "runner", "token", "lease_until")


def upgrade() -> None:
    """Add the state, the facts and the lease; models that are there are ready."""
    state = sa.Enum(*STATES, name="state", native_enum=False, length=16)
    with op.batch_alter_table("models") as models:
        models.add_column(sa.Column("state", state, nullable=False, server_default="ready"))
        models.add_column(sa.Column("reason", sa.String(), nullable=True))
        models.add_column(sa.Column("facts", sa.Text(), nullable=False, server_default="{}"))
        models.add_column(sa.Column("attempt", sa.Integer(), nullable=False, server_default="1"))
        models.add_column(sa.Column("runner", sa.String(), nullable=True))
        models.add_column(sa.Column("token", sa.String(32), nullable=True))
        models.add_column(sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True))
        models.create_check_constraint("ck_models_state", sa.column("state").in_(STATES))
        models.create_unique_constraint("uq_models_digest", ["digest"])
        models.create_index("ix_models_state_created", ["state", "created"])


def downgrade() -> None:
    """Take them away, and the models that are not ready: the version before would search for them."""
    op.execute(sa.text("DELETE FROM models WHERE state <> 'ready'"))
    with op.batch_alter_table("models") as models:
        models.drop_index("ix_models_state_created")
        models.drop_constraint("uq_models_digest", type_="unique")
        models.drop_constraint("ck_models_state", type_="check")
        for column in COLUMNS:
            models.drop_column(column)
