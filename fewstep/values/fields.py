"""What fields of values mean, stated once: help, unit and range for people, and the place in JSON for machines.

A field says it in its annotation, `Annotated[int, About("Network calls per sample", low=1, high=50)]`. Checks, request
bodies, options of the command line and the codec are derived from that, so that a new field is one line in its class.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from fewstep.errors import InvalidInput, UnknownName

__all__ = ["About", "Beside", "Named", "Slot", "check", "slot", "slots"]


@dataclass(frozen=True)
class About:
    """What a field says, in which ``unit``, and its range: from ``low``, or above ``above``, to ``high``.

    Text is one of ``choices``, or has at most ``length`` characters and matches ``pattern``, where these are given;
    what ``parse`` makes of it, as text again, is its complete form. ``option`` is its name on the command line, by
    default the field's own; ``example`` is one for documentation. ``names`` are those that the text may begin with, for
    people to see. A pattern that depends on what packages add is a function, and ``choices`` and ``names`` may be a
    registry: they are asked when they are needed.
    """

    help: str
    unit: str = ""
    low: float | None = None
    above: float | None = None
    high: float | None = None
    choices: Iterable[str] = ()
    names: Iterable[str] = ()
    pattern: str | Callable[[], str] | None = None
    parse: Callable[[str], object] | None = None
    length: int | None = None
    option: str | None = None
    example: Any = None


@dataclass(frozen=True)
class Named:
    """The name of a field in JSON, where it is another."""

    name: str


@dataclass(frozen=True)
class Beside:
    """In JSON the fields of this value stand beside those of the value that holds it, their names after ``prefix``.

    With ``both`` they stand under the field's own name as well, and are read from there: version 1 of the API promised
    the one, and the other loses nothing.
    """

    prefix: str = ""
    both: bool = False


@dataclass(frozen=True)
class Slot:
    """One field of a value: its ``type`` without None, whether it is ``optional`` (may be None), its ``default``
    (`MISSING` where it has none), what is said `About` it, and where JSON has it."""

    name: str
    type: Any
    optional: bool
    default: Any
    about: About
    key: str
    beside: Beside | None

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is MISSING


@cache
def _slots(kind: Any) -> tuple[Slot, ...]:
    of = get_origin(kind) or kind
    names = dict(zip(getattr(of, "__parameters__", ()), get_args(kind), strict=False))  # of a generic value
    hints = get_type_hints(of, include_extras=True)
    return tuple(slot(field.name, hints[field.name], _default(field), names) for field in fields(of))


def slots(kind: Any) -> tuple[Slot, ...]:
    """The fields of a dataclass, in order; it may be generic, as `Page[Search, str]`."""
    return _slots(kind)


def slot(name: str, hint: Any, default: Any = MISSING, names: Mapping[Any, Any] = MappingProxyType({})) -> Slot:
    """What an annotation says; ``names`` has what type variables stand for."""
    words: list[Any] = []
    if get_origin(hint) is Annotated:
        hint, *words = get_args(hint)
    allowed = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = [_filled(each, names) for each in allowed if each is not type(None)]
    return Slot(
        name=name,
        type=kinds[0],
        optional=len(kinds) < len(allowed),
        default=default,
        about=next((word for word in words if isinstance(word, About)), About("")),
        key=next((word.name for word in words if isinstance(word, Named)), name),
        beside=next((word for word in words if isinstance(word, Beside)), None),
    )


def _filled(kind: Any, names: Mapping[Any, Any]) -> Any:
    """A type with its type variables replaced: ``list[Item]`` becomes ``list[Search]``."""
    parameters = getattr(kind, "__parameters__", ())
    if names and parameters:
        return kind[tuple(names[each] for each in parameters)]
    return names.get(kind, kind)


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def check(value: Any, of: str = "") -> None:
    """Hold the numbers and texts of a frozen value against what is said about its fields; whole numbers become floats
    where a float is meant, and texts are completed. ``of`` stands before a field's name in messages.

    Raises `InvalidInput` where a number is out of range, and `UnknownName` where a choice is none.
    """
    for each in slots(type(value)):
        given, said, name = getattr(value, each.name), each.about, f"{of}{each.name}"
        if given is None and each.optional:
            continue
        if each.type is int and said.high is not None:
            low = said.low or 0
            if type(given) is not int or not low <= given <= said.high:
                raise InvalidInput(f"{name} is a whole number from {low} to {said.high}, got {given!r}")
        elif each.type is float and said.high is not None:
            above = said.above or 0.0
            if isinstance(given, bool) or not isinstance(given, (int, float)) or not math.isfinite(given):
                raise InvalidInput(f"{name} is a finite number, got {given!r}")
            if not above < given <= said.high:
                raise InvalidInput(f"{name} is above {above:g} and at most {said.high:g}, got {given!r}")
            object.__setattr__(value, each.name, float(given))
        elif said.parse is not None:
            object.__setattr__(value, each.name, str(said.parse(given)))
        elif (known := tuple(said.choices)) and given not in known:
            raise UnknownName(each.name, str(given)[:40], known)
