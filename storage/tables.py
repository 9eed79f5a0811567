"""Tables of the database. Numbers to filter or sort by are columns; schedules and results are JSON text.

Columns are called after the fields of the values that they hold, so that `storage.mapping` need not list them.
"""

import json
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, ClassVar

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
from fewstep.schedule import Schedule
from fewstep.values.codec import dump
from fewstep.values.model import ModelState
from fewstep.values.search import SearchState

__all__ = [
    "Base",
    "CurveRow",
    "EventRow",
    "Json",
    "LessonRow",
    "SafeText",
    "ModelRow",
    "ScheduleJson",
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


class SafeText(TypeDecorator[str]):
    """Text without NUL and lone surrogates, which PostgreSQL cannot store: SQLite refuses them too."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The text; raises `InvalidInput`."""
        if value is not None and ("\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
            raise InvalidInput(f"text holds no NUL and no lone surrogates, got {value[:80]!r}")
        return value


class Json(TypeDecorator[Any]):
    """A value as JSON text; comes back as JSON values."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """The value's text; raises `InvalidInput` where it holds NaN or infinity."""
        return None if value is None else dump(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """The text's values."""
        return None if value is None else json.loads(value)


class ScheduleJson(TypeDecorator[Schedule]):
    """A schedule with its tableau as JSON text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Schedule | None, dialect: Dialect) -> str | None:
        """The schedule's text."""
        return None if value is None else dump(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Schedule | None:
        """The text's schedule."""
        return None if value is None else _schedule(value)


@lru_cache(maxsize=1024)  # people look at the same few searches again and again
def _schedule(text: str) -> Schedule:
    return Schedule.from_json(text)


class Base(DeclarativeBase):
    """Every table."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = {
        datetime: Utc,
        ModelState: _states(ModelState),
        SearchState: _states(SearchState),
        str: SafeText,
    }


class ModelRow(Base):
    """A model, whether searches may use it yet, and the lease of the runner that checks it."""

    __tablename__ = "models"
    __table_args__ = (Index(None, "state", "created"),)

    id: Mapped[str] = mapped_column(SafeText(16), primary_key=True)
    digest: Mapped[str] = mapped_column(SafeText(64), unique=True)
    name: Mapped[str]
    source: Mapped[str]
    summary: Mapped[str]
    shape: Mapped[Any] = mapped_column(Json)
    process: Mapped[Any] = mapped_column(Json)
    created: Mapped[datetime]
    state: Mapped[ModelState] = mapped_column(server_default=ModelState.READY)
    reason: Mapped[str | None]
    facts: Mapped[Any] = mapped_column(Json, server_default="{}")
    attempt: Mapped[int] = mapped_column(server_default="1")
    runner: Mapped[str | None]
    token: Mapped[str | None] = mapped_column(SafeText(32))
    lease_until: Mapped[datetime | None]


class CurveRow(Base):
    """A model's arc length, as the first search of it measured it."""

    __tablename__ = "curves"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    curve: Mapped[Any] = mapped_column(Json)
    created: Mapped[datetime]


class SearchRow(Base):
    """A search: its problem, its state and its lease."""

    __tablename__ = "searches"
    __table_args__ = (
        Index(None, "state", "priority", "number"),
        Index(None, "model_id", "number"),
        Index(None, "submission"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(primary_key=True)  # order of submission
    id: Mapped[str] = mapped_column(SafeText(32), unique=True)
    key: Mapped[str | None] = mapped_column(SafeText(255), unique=True)  # idempotency key
    submission: Mapped[str | None] = mapped_column(SafeText(32))  # the first search of the same request; it has the key
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    nfe: Mapped[int]
    metric: Mapped[str]
    budget: Mapped[int]
    seed: Mapped[int]
    noises: Mapped[int] = mapped_column(server_default="128")
    report: Mapped[str | None]
    sampler: Mapped[str] = mapped_column(server_default="guided")
    limits: Mapped[Any] = mapped_column(Json, server_default="{}")
    effort: Mapped[str] = mapped_column(server_default="custom")
    precision: Mapped[float | None]
    max_passes: Mapped[int | None]
    priority: Mapped[int]
    state: Mapped[SearchState]
    attempt: Mapped[int]
    evaluations: Mapped[int]
    best: Mapped[Any | None] = mapped_column(Json)
    error: Mapped[str | None]
    runner: Mapped[str | None]
    token: Mapped[str | None] = mapped_column(SafeText(32))
    lease_until: Mapped[datetime | None]
    created: Mapped[datetime]
    started: Mapped[datetime | None]
    finished: Mapped[datetime | None]


class TrialRow(Base):
    """One evaluated schedule of a search."""

    __tablename__ = "trials"

    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    schedule: Mapped[Schedule] = mapped_column(ScheduleJson)
    score: Mapped[Any | None] = mapped_column(Json)
    origin: Mapped[str]
    predicted: Mapped[float | None]
    predicted_std: Mapped[float | None]
    reason: Mapped[str | None]
    created: Mapped[datetime]


class LessonRow(Base):
    """The transfer record of a search, which warm-starts searches of other models."""

    __tablename__ = "lessons"
    __table_args__ = (Index(None, "metric", "created"),)

    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"), primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    metric: Mapped[str]
    lesson: Mapped[str] = mapped_column(Text)  # JSON of a `fewstep.predictor.Lesson`
    created: Mapped[datetime]


class EventRow(Base):
    """An event of a search, written in the transaction of the change that it reports."""

    __tablename__ = "events"
    __table_args__ = (Index(None, "search_id", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(SafeText(16))
    data: Mapped[Any] = mapped_column(Json)
    created: Mapped[datetime]


class PublishedRow(Base):
    """The result of a search that succeeded."""

    __tablename__ = "published"
    __table_args__ = (Index(None, "model_id", "metric", "nfe", "value"), {"sqlite_autoincrement": True})

    number: Mapped[int] = mapped_column(primary_key=True)  # order of publication
    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"), unique=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    digest: Mapped[str] = mapped_column(SafeText(64), index=True)
    metric: Mapped[str]
    nfe: Mapped[int]
    value: Mapped[float]
    result: Mapped[Any] = mapped_column(Json)
    created: Mapped[datetime]
