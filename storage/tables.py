"""The tables. Numbers that are filtered or sorted by are columns; schedules and results are JSON text."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import ClassVar

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fewstep.errors import InvalidInput
from storage.values import ModelState, SearchState

__all__ = [
    "Base",
    "CurveRow",
    "EventRow",
    "LessonRow",
    "Line",
    "ModelRow",
    "PublishedRow",
    "SearchRow",
    "TrialRow",
    "Utc",
]

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def _states(kind: type[StrEnum]) -> Enum:
    """A text column that holds the values of ``kind`` and nothing else."""
    return Enum(
        kind,
        name="state",
        native_enum=False,
        create_constraint=True,
        length=16,
        values_callable=lambda states: [state.value for state in states],
    )


class Utc(TypeDecorator[datetime]):
    """A time in UTC, aware in Python on every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The time as UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The time as UTC; SQLite stores no zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Line(TypeDecorator[str]):
    """Text from outside. Every database refuses what PostgreSQL cannot store."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The text; raises `InvalidInput`."""
        if value is not None and ("\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
            raise InvalidInput(f"text holds no NUL and no lone surrogates, got {value[:80]!r}")
        return value


class Base(DeclarativeBase):
    """Every table."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = {
        datetime: Utc,
        ModelState: _states(ModelState),
        SearchState: _states(SearchState),
        str: Line,
    }


class ModelRow(Base):
    """A model, whether searches may name it yet, and the lease of the runner that tries it."""

    __tablename__ = "models"
    __table_args__ = (Index(None, "state", "created"),)

    id: Mapped[str] = mapped_column(Line(16), primary_key=True)
    digest: Mapped[str] = mapped_column(Line(64), unique=True)
    name: Mapped[str]
    source: Mapped[str]
    summary: Mapped[str]
    shape: Mapped[str] = mapped_column(Text)  # JSON
    process: Mapped[str] = mapped_column(Text)  # JSON
    created: Mapped[datetime]
    state: Mapped[ModelState] = mapped_column(server_default=ModelState.READY)
    reason: Mapped[str | None]
    facts: Mapped[str] = mapped_column(Text, server_default="{}")  # JSON
    attempt: Mapped[int] = mapped_column(server_default="1")
    runner: Mapped[str | None]
    token: Mapped[str | None] = mapped_column(Line(32))
    lease_until: Mapped[datetime | None]


class CurveRow(Base):
    """A model's arc length, as the first search of it measured it."""

    __tablename__ = "curves"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    curve: Mapped[str] = mapped_column(Text)  # JSON
    created: Mapped[datetime]


class SearchRow(Base):
    """A search, its budget, its lease."""

    __tablename__ = "searches"
    __table_args__ = (
        Index(None, "state", "priority", "number"),
        Index(None, "model_id", "number"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(primary_key=True)  # order of submission
    id: Mapped[str] = mapped_column(Line(32), unique=True)
    key: Mapped[str | None] = mapped_column(Line(255), unique=True)  # idempotency key
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    nfe: Mapped[int]
    metric: Mapped[str]
    budget: Mapped[int]
    seed: Mapped[int]
    noises: Mapped[int] = mapped_column(server_default="128")
    report: Mapped[str | None]
    sampler: Mapped[str] = mapped_column(server_default="guided")
    limits: Mapped[str] = mapped_column(Text, server_default="{}")  # JSON
    priority: Mapped[int]
    state: Mapped[SearchState]
    attempt: Mapped[int]
    evaluations: Mapped[int]
    best: Mapped[str | None] = mapped_column(Text)  # JSON
    error: Mapped[str | None]
    runner: Mapped[str | None]
    token: Mapped[str | None] = mapped_column(Line(32))
    lease_until: Mapped[datetime | None]
    created: Mapped[datetime]
    started: Mapped[datetime | None]
    finished: Mapped[datetime | None]


class TrialRow(Base):
    """One evaluated schedule of a search."""

    __tablename__ = "trials"

    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    schedule: Mapped[str] = mapped_column(Text)  # JSON
    score: Mapped[str | None] = mapped_column(Text)  # JSON
    origin: Mapped[str]
    predicted: Mapped[float | None]
    predicted_std: Mapped[float | None]
    reason: Mapped[str | None]
    created: Mapped[datetime]


class LessonRow(Base):
    """What a search taught; for others, of any model."""

    __tablename__ = "lessons"
    __table_args__ = (Index(None, "metric", "created"),)

    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"), primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    metric: Mapped[str]
    lesson: Mapped[str] = mapped_column(Text)  # JSON
    created: Mapped[datetime]


class EventRow(Base):
    """Something that happened to a search; written in the transaction that made it happen."""

    __tablename__ = "events"
    __table_args__ = (Index(None, "search_id", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(Line(16))
    data: Mapped[str] = mapped_column(Text)  # JSON
    created: Mapped[datetime]


class PublishedRow(Base):
    """The result of a search that succeeded."""

    __tablename__ = "published"
    __table_args__ = (Index(None, "model_id", "metric", "nfe", "value"), {"sqlite_autoincrement": True})

    number: Mapped[int] = mapped_column(primary_key=True)  # order of publication
    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"), unique=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    digest: Mapped[str] = mapped_column(Line(64), index=True)
    metric: Mapped[str]
    nfe: Mapped[int]
    value: Mapped[float]
    result: Mapped[str] = mapped_column(Text)  # JSON
    created: Mapped[datetime]
