"""What fields of values mean, stated once: help, unit and range for people, and the place in JSON for machines.

Request bodies, options of the command line and checks are derived from this, so that a new field of a problem is one
line in its class.
"""

import math
from collections.abc import Iterable
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from typing import Any, get_args, get_type_hints

from fewstep.errors import InvalidInput, UnknownName

__all__ = ["About", "Place", "about", "about_of", "beside", "check", "hints", "kinds", "place_of"]


@dataclass(frozen=True)
class About:
    """What a field says, in which ``unit``, and its range: from ``low``, or above ``above``, to ``high``.

    Text is one of ``choices``, or has at most ``length`` characters and matches ``pattern``, where these are given.
    ``option`` is its name on the command line, by default the field's own.
    """

    help: str = ""
    unit: str = ""
    low: float | None = None
    above: float | None = None
    high: float | None = None
    choices: Iterable[str] = ()
    pattern: str | None = None
    length: int | None = None
    option: str | None = None
    example: Any = None


@dataclass(frozen=True)
class Place:
    """Where JSON has a field: under ``name``, or, with ``beside``, its own fields beside those of the value that holds
    it, after ``prefix``; ``both`` ways where v1 of the API promised the one and storage has the other."""

    name: str | None = None
    beside: bool = False
    prefix: str = ""
    both: bool = False


def about(help: str, *, default: Any = MISSING, name: str | None = None, **words: Any) -> Any:
    """A field of a frozen value with what is said `About` it; ``name`` is the one in JSON, where it is another."""
    metadata = {"about": About(help, **words), "place": Place(name)}
    return field(default=default, metadata=metadata)


def beside(help: str = "", *, default: Any = MISSING, prefix: str = "", both: bool = False) -> Any:
    """A field whose value's own fields stand beside the others in JSON."""
    place = Place(beside=True, prefix=prefix, both=both)
    return field(default=default, metadata={"about": About(help), "place": place})


def about_of(field: Field[Any]) -> About:
    """What is said about a field; empty where it was made without."""
    return field.metadata.get("about", About())  # type: ignore[no-any-return]


def place_of(field: Field[Any]) -> Place:
    """Where JSON has a field."""
    return field.metadata.get("place", Place())  # type: ignore[no-any-return]


@cache
def hints(kind: type[Any]) -> dict[str, Any]:
    """The types of a class's fields."""
    return get_type_hints(kind)


def kinds(hint: Any) -> tuple[Any, ...]:
    """The types that a union allows, or the one type.

    >>> kinds(int | None)
    (<class 'int'>, <class 'NoneType'>)
    """
    return get_args(hint) if type(None) in get_args(hint) else (hint,)


def check(value: Any, of: str = "") -> None:
    """Hold every number and choice of a frozen value against what is said about its field; whole numbers become floats
    where a float is meant. ``of`` stands before the name in messages.

    Raises `InvalidInput` where a number is out of range and `UnknownName` where a choice is none.
    """
    for each in fields(value):
        given, said, allowed = getattr(value, each.name), about_of(each), kinds(hints(type(value))[each.name])
        if given is None and type(None) in allowed:
            continue
        if int in allowed and said.high is not None:
            if type(given) is not int or not (said.low or 0) <= given <= said.high:
                wanted = f"a whole number from {said.low or 0} to {said.high}"
                raise InvalidInput(f"{of}{each.name} is {wanted}, got {given!r}")
        elif float in allowed and said.high is not None:
            if isinstance(given, bool) or not isinstance(given, (int, float)) or not math.isfinite(given):
                raise InvalidInput(f"{of}{each.name} is a finite number, got {given!r}")
            if not (said.above or 0) < given <= said.high:
                wanted = f"above {said.above or 0:g} and at most {said.high:g}"
                raise InvalidInput(f"{of}{each.name} is {wanted}, got {given!r}")
            object.__setattr__(value, each.name, float(given))
        elif tuple(said.choices) and given not in said.choices:
            raise UnknownName(each.name, str(given)[:40], said.choices)
