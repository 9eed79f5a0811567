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

__all__ = ["In", "answer", "asking", "shape"]


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


def _asked(slot: Slot) -> tuple[Any, Any]:
    """The type and the `Field` of one field of a body."""
    said, default = slot.about, ... if slot.required else slot.default
    if is_dataclass(slot.type):
        inner: Any = _inner(slot.type)  # type: ignore[arg-type]
        return inner, Field(inner(), description=said.help)
    checks: dict[str, Any] = {"ge": said.low, "gt": said.above, "le": said.high, "max_length": said.length}
    extra: dict[str, Any] = {}
    asked: Any = slot.type
    if said.parse is not None:
        asked, extra = Annotated[asked, AfterValidator(_completed(said.parse))], {"pattern": said.pattern}
    elif tuple(said.choices):
        asked, extra = Annotated[asked, AfterValidator(_one_of(slot))], {"enum": list(said.choices)}
    else:
        checks["pattern"] = said.pattern
    asked = Annotated[asked, Field(**{name: check for name, check in checks.items() if check is not None})]
    if extra:
        asked = Annotated[asked, Field(json_schema_extra=extra)]
    examples = None if said.example is None else [said.example]
    return asked | None if slot.optional else asked, Field(default, description=_words(slot), examples=examples)


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
