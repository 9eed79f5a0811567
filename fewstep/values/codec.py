"""The JSON codec of values, for storage's columns, the service's answers and its client.

The JSON follows from a value's fields (`fewstep.values.fields`). Reading is lenient by default: unknown
fields, of a newer version, are ignored, and fields missing in an older one have their defaults; ``strict`` refuses
both. A value of the wrong type is refused in any case, with its place.
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
from fewstep.values.fields import FieldSpec, field_spec, field_specs
from fewstep.values.origin import Origin
from fewstep.values.published import Published
from fewstep.values.result import Result
from fewstep.values.trial import Trial

__all__ = ["decode", "dump", "encode", "entries", "flat", "load"]

Value = TypeVar("Value")


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _older_result(data: dict[str, Any]) -> dict[str, Any]:
    """The present JSON of a result from that of an older version: flat in storage, without ``problem`` in answers."""
    baseline = data.get("baseline")
    if "baseline_schedule" in data:
        baseline = {"name": data["baseline_name"], "schedule": data["baseline_schedule"], "score": baseline}
    if isinstance(baseline, dict):
        baseline = {"second": data.get("second_baseline"), **baseline}
    return {"name": "", "problem": data, **data, "baseline": baseline}


SPECIAL: dict[Any, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {  # types with JSON of their own
    Schedule: (Schedule.to_dict, Schedule.from_dict),
    Origin: (str, Origin.parse),
    datetime: (_iso, datetime.fromisoformat),
}
PROPERTIES: dict[Any, tuple[str, ...]] = {  # that JSON has with the fields; they are not read
    Trial: ("digest",),
    Result: ("second_baseline",),
    Published: ("nfe",),
}
UPGRADES: dict[Any, Callable[[dict[str, Any]], dict[str, Any]]] = {Result: _older_result}
PLAIN = {int: "a whole number", float: "a number", str: "text", bool: "true or false", dict: "an object"}


@cache
def entries(kind: Any) -> dict[str, FieldSpec]:
    """The entries of a value's JSON by key: its fields, those of inline values, and properties."""
    specs: dict[str, FieldSpec] = {}
    for spec in field_specs(kind):
        if spec.inline is not None:
            for key, inner in entries(spec.type).items():
                specs[spec.inline.prefix + key] = replace(inner, optional=inner.optional or spec.optional)
        if spec.inline is None or spec.inline.both:
            specs[spec.key] = spec
    for name in PROPERTIES.get(kind, ()):
        specs[name] = field_spec(name, get_type_hints(getattr(kind, name).fget)["return"])
    return specs


def flat(value: Any) -> dict[str, Any]:
    """The entries of a value's JSON by key, each still as the value has it."""
    content: dict[str, Any] = {}
    for spec in field_specs(type(value)):
        inner = getattr(value, spec.name)
        if spec.inline is not None:
            parts = dict.fromkeys(entries(spec.type)) if inner is None else flat(inner)
            content |= {spec.inline.prefix + key: part for key, part in parts.items()}
        if spec.inline is None or spec.inline.both:
            content[spec.key] = inner
    return content | {name: getattr(value, name) for name in PROPERTIES.get(type(value), ())}


def encode(value: Any) -> Any:
    """The JSON of a value, of several, or of what is JSON already.

    >>> from fewstep.values.score import Interval
    >>> encode(Interval(0.5, 1.0))
    {'low': 0.5, 'high': 1.0}
    """
    if type(value) in SPECIAL:
        return SPECIAL[type(value)][0](value)
    if is_dataclass(value):
        return {key: encode(part) for key, part in flat(value).items()}
    if isinstance(value, Mapping):
        return {key: encode(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(part) for part in value]
    if isinstance(value, np.generic):
        return value.item()
    return value.value if isinstance(value, Enum) else value


def decode(kind: type[Value], data: Any, *, strict: bool = False, at: str = "") -> Value:
    """The value of type ``kind`` in JSON ``data``; ``at`` is its place, for messages.

    Raises `InvalidInput` where ``data`` is not one.

    >>> from fewstep.values.score import Interval
    >>> decode(Interval, {"low": 0, "high": 1, "colour": "red"})
    Interval(low=0.0, high=1.0)
    """
    try:
        return cast(Value, _read(kind, data, strict, at))
    except (OverflowError, RecursionError) as error:
        raise InvalidInput(f"{at or 'it'} holds a number that is too large, or lists in lists without end") from error


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
    origin = get_origin(kind) or kind
    if origin is Any or (origin not in PLAIN and origin not in (list, tuple) and isinstance(data, origin)):
        return data
    if origin in (list, tuple):
        item = get_args(kind)[0]
        if not isinstance(data, (list, tuple)):
            raise InvalidInput(f"{at or 'it'} is a list, got {_short(data)}")
        return origin(_read(item, part, strict, f"{at}[{i}]") for i, part in enumerate(data))
    if origin in PLAIN:
        if type(data) is not origin and not (origin is float and type(data) is int):
            raise InvalidInput(f"{at or 'it'} is {PLAIN[origin]}, got {_short(data)}")
        return origin(data)
    if origin in SPECIAL or issubclass(origin, Enum):
        read = SPECIAL[origin][1] if origin in SPECIAL else origin
        try:
            return read(data)
        except (TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(f"{at or 'it'}: {error}") from error
    if not isinstance(data, dict):
        raise InvalidInput(f"{at or 'it'} is an object, got {_short(data)}")
    return _object(kind, data, strict, at)


def _object(kind: Any, data: dict[str, Any], strict: bool, at: str) -> Any:
    data = UPGRADES[kind](data) if kind in UPGRADES else data
    unknown = sorted(map(str, data.keys() - entries(kind).keys()))
    if strict and unknown:
        raise InvalidInput(f"{at or 'it'} has no {', '.join(unknown)[:200]}; known: {', '.join(entries(kind))}")
    arguments: dict[str, Any] = {}
    for spec in field_specs(kind):
        place = f"{at}.{spec.key}".lstrip(".")
        if spec.inline is not None and spec.key not in data:
            arguments[spec.name] = _inline(spec, spec.inline.prefix, data, strict, at)
        elif data.get(spec.key) is not None:
            arguments[spec.name] = _read(spec.type, data[spec.key], strict, place)
        elif spec.optional and (spec.key in data or (spec.required and not strict)):
            arguments[spec.name] = None
        elif spec.required or (strict and spec.key in data):
            raise InvalidInput(f"{place} is {'missing' if spec.key not in data else 'null'}")
    return (get_origin(kind) or kind)(**arguments)


def _inline(spec: FieldSpec, prefix: str, data: dict[str, Any], strict: bool, at: str) -> Any:
    """The value of an inline field, from the entries of ``data`` with its prefix; None where it is optional and its
    required fields are all absent."""
    part = {key.removeprefix(prefix): value for key, value in data.items() if key.startswith(prefix)}
    part = {key: value for key, value in part.items() if key in entries(spec.type)}
    required = [inner.key for inner in field_specs(spec.type) if inner.required and inner.inline is None]
    if spec.optional and all(part.get(key) is None for key in required):
        return None
    return _object(spec.type, part, strict, at)


def _short(data: Any) -> str:
    return f"{data!r}"[:80]
