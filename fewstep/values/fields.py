"""Metadata of the fields of values, stated once: help, unit, range, and place in JSON.

It stands in a field's annotation, `Annotated[int, About("Network calls per sample", low=1, high=50)]`. Checks, request
bodies, options of the command line and the codec are derived from that, so that a new field is one line in its class.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from fewstep.errors import InvalidInput, UnknownName

__all__ = ["About", "Inline", "Key", "FieldSpec", "check", "field_spec", "field_specs"]


@dataclass(frozen=True)
class About:
    """Help text of a field, its ``unit``, and its range: from ``low``, or above ``above``, to ``high``.

    Text is one of ``choices``, or has at most ``length`` characters and matches ``pattern``, where these are set; its
    complete form is the text of what ``parse`` returns. ``option`` is its name on the command line, by default that of
    the field; ``example`` is one for documentation. ``names`` are those that the text may begin with, for help texts.
    A pattern that depends on installed packages is a function, and ``choices`` and ``names`` may be a registry: they
    are read when they are needed.
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
class Key:
    """The key of a field in JSON, where it is not the field's name."""

    name: str


@dataclass(frozen=True)
class Inline:
    """In JSON the fields of this value stand among those of the value that has it, their keys after ``prefix``.

    With ``both`` they stand under the field's name as well, and are read from there: version 1 of the API promised the
    first form, and the second is complete.
    """

    prefix: str = ""
    both: bool = False


@dataclass(frozen=True)
class FieldSpec:
    """One field of a value: its ``type`` without None, whether it is ``optional`` (may be None), its ``default``
    (`MISSING` where it has none), its help and range, its JSON key, and whether JSON has it inline."""

    name: str
    type: Any
    optional: bool
    default: Any
    about: About
    key: str
    inline: Inline | None

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is MISSING


@cache
def _specs_of(kind: Any) -> tuple[FieldSpec, ...]:
    origin = get_origin(kind) or kind
    types = dict(zip(getattr(origin, "__parameters__", ()), get_args(kind), strict=False))  # of a generic value
    hints = get_type_hints(origin, include_extras=True)
    return tuple(field_spec(field.name, hints[field.name], _default(field), types) for field in fields(origin))


def field_specs(kind: Any) -> tuple[FieldSpec, ...]:
    """The fields of a dataclass, in order; it may be generic, as `Page[Search, str]`."""
    return _specs_of(kind)


def field_spec(
    name: str, hint: Any, default: Any = MISSING, types: Mapping[Any, Any] = MappingProxyType({})
) -> FieldSpec:
    """The specification in an annotation; ``types`` replaces type variables."""
    metadata: list[Any] = []
    if get_origin(hint) is Annotated:
        hint, *metadata = get_args(hint)
    allowed = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = [_substitute(each, types) for each in allowed if each is not type(None)]
    return FieldSpec(
        name=name,
        type=kinds[0],
        optional=len(kinds) < len(allowed),
        default=default,
        about=next((item for item in metadata if isinstance(item, About)), About("")),
        key=next((item.name for item in metadata if isinstance(item, Key)), name),
        inline=next((item for item in metadata if isinstance(item, Inline)), None),
    )


def _substitute(kind: Any, types: Mapping[Any, Any]) -> Any:
    """A type with its type variables replaced: ``list[Item]`` becomes ``list[Search]``."""
    parameters = getattr(kind, "__parameters__", ())
    if types and parameters:
        return kind[tuple(types[each] for each in parameters)]
    return types.get(kind, kind)


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def check(value: Any, prefix: str = "") -> None:
    """Check the numbers and texts of a frozen value against its fields' ranges and choices, and complete them: whole
    numbers become floats in fields of floats, texts take their parsed form. ``prefix`` precedes names in messages.

    Raises `InvalidInput` where a number is out of range, and `UnknownName` where a text is not one of the choices.
    """
    for spec in field_specs(type(value)):
        content = getattr(value, spec.name)
        name = f"{prefix}{spec.name}"
        about = spec.about
        choices = tuple(about.choices)
        if content is None and spec.optional:
            continue
        if spec.type is int and about.high is not None:
            low = about.low or 0
            if type(content) is not int or not low <= content <= about.high:
                raise InvalidInput(f"{name} is a whole number from {low} to {about.high}, got {content!r}")
        elif spec.type is float and about.high is not None:
            above = about.above or 0.0
            if isinstance(content, bool) or not isinstance(content, (int, float)) or not math.isfinite(content):
                raise InvalidInput(f"{name} is a finite number, got {content!r}")
            if not above < content <= about.high:
                raise InvalidInput(f"{name} is above {above:g} and at most {about.high:g}, got {content!r}")
            object.__setattr__(value, spec.name, float(content))
        elif about.parse is not None:
            object.__setattr__(value, spec.name, str(about.parse(content)))
        elif choices and content not in choices:
            raise UnknownName(spec.name, str(content)[:40], choices)
