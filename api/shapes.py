"""JSON shapes of the API, derived from the fields of the values: bodies, checked strictly, and answers."""

from collections.abc import Callable
from dataclasses import is_dataclass
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from fewstep.errors import UnknownName
from fewstep.values.codec import OWN, entries
from fewstep.values.fields import Slot, slots
from fewstep.values.origin import Origin
from fewstep.values.page import Page

__all__ = ["In", "answer", "asking", "checked", "shape"]


class In(BaseModel):
    """A body: unknown fields are refused, and no value is bent into another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


Body = TypeVar("Body", bound=In)


def asking(kind: type) -> Callable[[type[Body]], type[Body]]:
    """Gives the class of a body the fields of a value too, with their ranges and what is said about them."""

    def derived(body: type[Body]) -> type[Body]:
        fields: dict[str, Any] = {each.name: _asked(each) for each in slots(kind)}
        return create_model(body.__name__, __base__=body, __doc__=body.__doc__, __module__=body.__module__, **fields)

    return derived


@cache
def _inner(kind: Any) -> type[In]:
    fields: dict[str, Any] = {each.name: _asked(each) for each in slots(kind)}
    return create_model(f"{kind.__name__}In", __base__=In, __doc__=_first_line(kind), **fields)


def checked(kind: type, name: str) -> Any:
    """The type of one field of a value, with its checks: for a parameter that means the same."""
    return _checked(next(each for each in slots(kind) if each.name == name))


def _asked(slot: Slot) -> tuple[Any, Any]:
    """The type and the `Field` of one field of a body."""
    said, default = slot.about, ... if slot.required else slot.default
    if is_dataclass(slot.type):
        inner: Any = _inner(slot.type)  # type: ignore[arg-type]
        return inner, Field(inner(), description=said.help)
    kind, examples = _checked(slot), None if said.example is None else [said.example]
    return kind | None if slot.optional else kind, Field(default, description=_words(slot), examples=examples)


def _checked(slot: Slot) -> Any:
    said, kind = slot.about, slot.type
    checks: dict[str, Any] = {"ge": said.low, "gt": said.above, "le": said.high, "max_length": said.length}
    if said.parse is not None:
        kind = Annotated[kind, AfterValidator(_completed(said.parse))]
        checks["json_schema_extra"] = _described(slot)
    elif tuple(said.choices):
        kind = Annotated[kind, AfterValidator(_one_of(slot))]
        checks["json_schema_extra"] = _described(slot)
    else:
        checks["pattern"] = said.pattern
    return Annotated[kind, Field(**{name: check for name, check in checks.items() if check is not None})]


def _described(slot: Slot) -> Callable[[dict[str, Any]], None]:
    """Puts pattern and choices into a schema as it is written, with all that packages have added by then."""

    def describe(schema: dict[str, Any]) -> None:
        pattern, choices = slot.about.pattern, list(slot.about.choices)
        if pattern is not None:
            schema["pattern"] = pattern() if callable(pattern) else pattern
        if choices:
            schema["enum"] = choices

    return describe


def _completed(parse: Callable[[str], object]) -> Callable[[str], str]:
    return lambda text: str(parse(text))


def _one_of(slot: Slot) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in slot.about.choices:
            raise UnknownName(slot.name, text[:40], slot.about.choices)
        return text

    return check


@cache
def answer(kind: Any) -> type[BaseModel]:
    """The shape of a value as `fewstep.values.codec` writes it."""
    of = get_origin(kind) or kind
    fields: dict[str, Any] = {}
    for key, each in entries(kind).items():
        shown = shape(each.type)
        fields[key] = (shown | None if each.optional else shown, Field(description=_words(each)))
    inner = "".join(getattr(each, "__name__", "") for each in get_args(kind)[:1])
    name = f"{inner}{of.__name__}Out" if of is Page else f"{of.__name__}Out"
    return create_model(name, __doc__=_first_line(of), **fields)


def shape(kind: Any) -> Any:
    """The shape of what the codec makes of a type, which may be a value, a list of values, or plain."""
    of, inner = get_origin(kind) or kind, get_args(kind)
    if of in (list, tuple):
        return list[shape(inner[0])] if of is tuple or is_dataclass(inner[0]) else kind  # type: ignore[misc]
    if of is Origin:
        return str
    if of in OWN and is_dataclass(of):
        return dict[str, Any]
    return answer(kind) if is_dataclass(of) else kind


def _words(slot: Slot) -> str | None:
    said = slot.about
    return f"{said.help} ({said.unit})" if said.help and said.unit else said.help or None


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").split("\n\n")[0].replace("\n    ", " ").replace("``", "")
