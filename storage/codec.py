"""JSON text of the values that are stored whole, and back, exactly."""

import json
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.schedule import Schedule
from fewstep.values.limits import Limits
from fewstep.values.problem import Problem, Result, Score

__all__ = [
    "dump",
    "dump_limits",
    "dump_result",
    "dump_schedule",
    "dump_score",
    "load_limits",
    "load_result",
    "load_schedule",
    "load_score",
    "readable",
]

SCORES = ("score", "baseline", "second", "second_baseline")  # of a result; the last two may be missing


def dump(value: Any) -> str:
    """JSON values as text; NumPy scalars become plain numbers. Raises `InvalidInput` at NaN and infinity."""
    try:
        return json.dumps(value, allow_nan=False, default=_plain, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"only finite numbers, text, lists and objects can be stored: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def readable(text: str) -> str:
    """The text with whatever cannot be stored shown as question marks: for reasons, which must never be refused."""
    return text.replace("\0", "?").encode("utf-8", "replace").decode()


def dump_schedule(schedule: Schedule) -> str:
    """The schedule with its tableau."""
    return dump(schedule.to_dict())


@lru_cache(maxsize=1024)  # people look at the same few searches again and again
def load_schedule(text: str) -> Schedule:
    """Inverse of `dump_schedule`."""
    return Schedule.from_json(text)


def dump_score(score: Score | None) -> str | None:
    """The score, if any."""
    return None if score is None else dump(asdict(score))


def load_score(text: str | None) -> Score | None:
    """Inverse of `dump_score`."""
    return None if text is None else Score(**json.loads(text))


def dump_limits(limits: Limits) -> str:
    """The limits."""
    return dump(asdict(limits))


def load_limits(text: str) -> Limits:
    """Inverse of `dump_limits`; what is not there is no limit."""
    return Limits(**json.loads(text))


def dump_result(result: Result) -> str:
    """The result, with both schedules and their tableaus."""
    fields = {name: getattr(result, name) for name in Result.__dataclass_fields__}
    for name in ("problem", *SCORES):
        fields[name] = None if fields[name] is None else asdict(fields[name])
    for name in ("schedule", "baseline_schedule"):
        fields[name] = fields[name].to_dict()
    return dump(fields)


def load_result(text: str) -> Result:
    """Inverse of `dump_result`; what older results lack has its default."""
    fields = json.loads(text)
    problem = fields["problem"]
    fields["problem"] = Problem(**(problem | {"limits": Limits(**problem.get("limits", {}))}))
    for name in SCORES:
        fields[name] = None if fields.get(name) is None else Score(**fields[name])
    for name in ("schedule", "baseline_schedule"):
        fields[name] = Schedule.from_dict(fields[name])
    return Result(**fields)
