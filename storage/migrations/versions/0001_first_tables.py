"""The first tables: models, searches, trials, events, published."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

STATES = ("queued", "running", "paused", "succeeded", "failed", "cancelled")


def upgrade() -> None:
    """Make the tables."""
    _models()
    _searches()
    _trials()
    _events()
    _published()


def _models() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("summary", sa.String(), nullable=False),
        sa.Column("shape", sa.Text(), nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
    )


def _searches() -> None:
    op.create_table(
        "searches",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("key", sa.String(255), nullable=True),
        sa.Column("model_id", sa.String(16), nullable=False),
        sa.Column("nfe", sa.Integer(), nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("budget", sa.Integer(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.Enum(*STATES, name="state", native_enum=False, length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("evaluations", sa.Integer(), nullable=False),
        sa.Column("best", sa.Text(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("runner", sa.String(), nullable=True),
        sa.Column("token", sa.String(32), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(sa.column("state").in_(STATES), name="ck_searches_state"),
        _belongs_to_model("searches"),
        sa.PrimaryKeyConstraint("number", name="pk_searches"),
        sa.UniqueConstraint("id", name="uq_searches_id"),
        sa.UniqueConstraint("key", name="uq_searches_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_searches_state_priority_number", "searches", ["state", "priority", "number"])
    op.create_index("ix_searches_model_id_number", "searches", ["model_id", "number"])


def _trials() -> None:
    op.create_table(
        "trials",
        sa.Column("search_id", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("score", sa.Text(), nullable=True),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("predicted", sa.Double(), nullable=True),
        sa.Column("predicted_std", sa.Double(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name="fk_trials_search_id_searches", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("search_id", "number", name="pk_trials"),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("search_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name="fk_events_search_id_searches", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_search_id_id", "events", ["search_id", "id"])


def _published() -> None:
    op.create_table(
        "published",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("search_id", sa.String(32), nullable=False),
        sa.Column("model_id", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("nfe", sa.Integer(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        _belongs_to_search("published"),
        _belongs_to_model("published"),
        sa.PrimaryKeyConstraint("number", name="pk_published"),
        sa.UniqueConstraint("search_id", name="uq_published_search_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_published_digest", "published", ["digest"])
    op.create_index("ix_published_model_id_metric_nfe_value", "published", ["model_id", "metric", "nfe", "value"])


def downgrade() -> None:
    """Drop them."""
    for table in ("published", "events", "trials", "searches", "models"):
        op.drop_table(table)


def _belongs_to_search(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_search_id_searches"
    return sa.ForeignKeyConstraint(["search_id"], ["searches.id"], name=name, ondelete="CASCADE")


def _belongs_to_model(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_model_id_models"
    return sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=name, ondelete="CASCADE")
