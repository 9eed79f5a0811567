"""Values from database rows and back, by the names of their fields: no field is listed here."""

from typing import Any, TypeVar

from fewstep.values.codec import decode, flat
from fewstep.values.fields import field_specs
from fewstep.values.model import Model
from fewstep.values.problem import Problem
from storage.tables import Base

__all__ = ["model_columns", "problem_columns", "value_of"]

Value = TypeVar("Value")
KEYS = {"model_id": "model", "search_id": "search"}  # foreign keys, and what values call them


def value_of(kind: type[Value], row: Base) -> Value:
    """The value of a row: a `Model`, `Search`, `Trial`, `Event` or `Published`."""
    names = [column.key for column in row.__mapper__.columns]
    return decode(kind, {KEYS.get(name, name): getattr(row, name) for name in names})


def problem_columns(problem: Problem) -> dict[str, Any]:
    """The columns of a search that hold its problem."""
    fields = flat(problem)
    return {"model_id": fields.pop("model"), **fields}


def model_columns(model: Model) -> dict[str, Any]:
    """The columns of a model that hold its value; its facts are one column."""
    return {spec.name: getattr(model, spec.name) for spec in field_specs(Model)}
