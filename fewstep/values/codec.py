"""Values as JSON, and back: the one codec of storage's columns, of the service's answers and of its client.

The form follows from a value's fields (`fewstep.values.fields`). Reading is lenient by default: fields of a newer
version are passed over, and those that an older one lacks have their defaults. ``strict`` refuses unknown and missing
ones. A value of the wrong type is refused in any case, with its place.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass, replace
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.schedule import Schedule
from fewstep.values.fields import Slot, slot, slots
from fewstep.values.origin import Origin
from fewstep.values.published import Published
from fewstep.values.result import Result
from fewstep.values.trial import Trial

__all__ = ["decode", "dump", "encode", "entries", "flat", "load"]

Value = TypeVar("Value")


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _older_result(data: dict[str, Any]) -> dict[str, Any]:
    """The present JSON of a result from that of any version: in storage it was flat, and answers had no ``problem``."""
    baseline = data.get("baseline")
    if "baseline_schedule" in data:
        baseline = {"name": data["baseline_name"], "schedule": data["baseline_schedule"], "score": baseline}
    if isinstance(baseline, dict):
        baseline = {"second": data.get("second_baseline"), **baseline}
    return {"name": "", "problem": data, **data, "baseline": baseline}


OWN: dict[Any, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {  # values with a form of their own
    Schedule: (Schedule.to_dict, Schedule.from_dict),
    Origin: (str, Origin.parse),
    datetime: (_iso, datetime.fromisoformat),
}
ALSO: dict[Any, tuple[str, ...]] = {  # properties that JSON shows beside the fields; they are not read
    Trial: ("digest",),
    Result: ("second_baseline",),
    Published: ("nfe",),
}
OLDER: dict[Any, Callable[[dict[str, Any]], dict[str, Any]]] = {Result: _older_result}
PLAIN = {int: "a whole number", float: "a number", str: "text", bool: "true or false", dict: "an object"}


@cache
def entries(kind: Any) -> dict[str, Slot]:
    """The fields of a value as its JSON has them, by name: those of values beside too, and properties that it shows."""
    found: dict[str, Slot] = {}
    for each in slots(kind):
        if each.beside is not None:
            for key, inner in entries(each.type).items():
                found[each.beside.prefix + key] = replace(inner, optional=inner.optional or each.optional)
        if each.beside is None or each.beside.both:
            found[each.key] = each
    for name in ALSO.get(kind, ()):
        found[name] = slot(name, get_type_hints(getattr(kind, name).fget)["return"])
    return found


def flat(value: Any) -> dict[str, Any]:
    """The fields of a value under the names of its JSON, each as it is: not yet JSON itself."""
    found: dict[str, Any] = {}
    for each in slots(type(value)):
        inner = getattr(value, each.name)
        if each.beside is not None:
            parts = dict.fromkeys(entries(each.type)) if inner is None else flat(inner)
            found |= {each.beside.prefix + key: part for key, part in parts.items()}
        if each.beside is None or each.beside.both:
            found[each.key] = inner
    return found | {name: getattr(value, name) for name in ALSO.get(type(value), ())}


def encode(value: Any) -> Any:
    """JSON values of a value, of several, or of what is JSON already.

    >>> from fewstep.values.score import Interval
    >>> encode(Interval(0.5, 1.0))
    {'low': 0.5, 'high': 1.0}
    """
    if type(value) in OWN:
        return OWN[type(value)][0](value)
    if is_dataclass(value):
        return {key: encode(part) for key, part in flat(value).items()}
    if isinstance(value, Mapping):
        return {key: encode(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value.value if isinstance(value, Enum) else value


def decode(kind: type[Value], data: Any, *, strict: bool = False, at: str = "") -> Value:
    """The value of a ``kind`` that JSON values describe; ``at`` is their place, for messages.

    Raises `InvalidInput` where they describe none.

    >>> from fewstep.values.score import Interval
    >>> decode(Interval, {"low": 0, "high": 1, "colour": "red"})
    Interval(low=0.0, high=1.0)
    """
    return cast(Value, _read(kind, data, strict, at))


def dump(value: Any) -> str:
    """The JSON text of a value. Raises `InvalidInput` at NaN and infinity, which JSON does not have."""
    try:
        return json.dumps(encode(value), allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"only finite numbers, text, lists and objects can be stored: {error}") from error


def load(kind: type[Value], text: str) -> Value:
    """Inverse of `dump`."""
    return decode(kind, json.loads(text))


def _read(kind: Any, data: Any, strict: bool, at: str) -> Any:
    of, inner = get_origin(kind) or kind, get_args(kind)
    if of is Any or (of not in PLAIN and of not in (list, tuple) and isinstance(data, of)):
        return data
    if of in (list, tuple):
        if not isinstance(data, (list, tuple)):
            raise InvalidInput(f"{at or 'it'} is a list, got {_short(data)}")
        return of(_read(inner[0], part, strict, f"{at}[{i}]") for i, part in enumerate(data))
    if of in PLAIN:
        if type(data) is not of and not (of is float and type(data) is int):
            raise InvalidInput(f"{at or 'it'} is {PLAIN[of]}, got {_short(data)}")
        return of(data)
    if of in OWN or issubclass(of, Enum):
        try:
            return (OWN[of][1] if of in OWN else of)(data)
        except (TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(f"{at or 'it'}: {error}") from error
    if not isinstance(data, dict):
        raise InvalidInput(f"{at or 'it'} is an object, got {_short(data)}")
    return _object(kind, data, strict, at)


def _object(kind: Any, data: dict[str, Any], strict: bool, at: str) -> Any:
    data = OLDER[kind](data) if kind in OLDER else data
    unknown = sorted(map(str, data.keys() - entries(kind).keys()))
    if strict and unknown:
        raise InvalidInput(f"{at or 'it'} has no {', '.join(unknown)[:200]}; known: {', '.join(entries(kind))}")
    found = {}
    for each in slots(kind):
        place = f"{at}.{each.key}".lstrip(".")
        if each.beside is not None and each.key not in data:
            prefix = each.beside.prefix
            part = {key.removeprefix(prefix): given for key, given in data.items() if key.startswith(prefix)}
            part = {key: given for key, given in part.items() if key in entries(each.type)}
            needed = [inner.key for inner in slots(each.type) if inner.required and inner.beside is None]
            absent = each.optional and all(part.get(key) is None for key in needed)
            found[each.name] = None if absent else _object(each.type, part, strict, at)
        elif data.get(each.key) is not None:
            found[each.name] = _read(each.type, data[each.key], strict, place)
        elif each.optional and (each.key in data or (each.required and not strict)):
            found[each.name] = None
        elif each.required or (strict and each.key in data):
            raise InvalidInput(f"{place} is {'missing' if each.key not in data else 'null'}")
    return (get_origin(kind) or kind)(**found)


def _short(data: Any) -> str:
    return f"{data!r}"[:80]
