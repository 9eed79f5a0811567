"""Pydantic models of request bodies and answers, derived from the fields of the values."""

from collections.abc import Callable, Collection
from dataclasses import is_dataclass
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
)

from fewstep.errors import InvalidInput, UnknownName
from fewstep.values.codec import SPECIAL, entries
from fewstep.values.fields import FieldSpec, field_specs
from fewstep.values.origin import Origin
from fewstep.values.page import Page

__all__ = ["Body", "answer", "field_type", "shape", "with_fields_of"]

MAX_SEVERAL = 50  # values in the place of one


class Body(BaseModel):
    """A request body: unknown fields are refused, and no value is converted to another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


AnyBody = TypeVar("AnyBody", bound=Body)


def with_fields_of(kind: type, *, several: Collection[str] = ()) -> Callable[[type[AnyBody]], type[AnyBody]]:
    """A decorator that adds the fields of a value to the class of a body, with their ranges and help.

    Those that ``several`` names take a list as well.
    """

    def add_fields(body: type[AnyBody]) -> type[AnyBody]:
        fields: dict[str, Any] = {}
        for spec in field_specs(kind):
            of_one, field = _body_field(spec)
            fields[spec.name] = (_one_or_several(of_one) if spec.name in several else of_one, field)
        return create_model(body.__name__, __base__=body, __doc__=body.__doc__, __module__=body.__module__, **fields)

    return add_fields


@cache
def _inner_body(kind: Any) -> type[Body]:
    fields: dict[str, Any] = {spec.name: _body_field(spec) for spec in field_specs(kind)}
    return create_model(f"{kind.__name__}In", __base__=Body, __doc__=_first_line(kind), **fields)


def field_type(kind: type, name: str) -> Any:
    """The type of one field of a value, with its checks: for a query parameter of the same meaning."""
    return _type_with_checks(next(spec for spec in field_specs(kind) if spec.name == name))


def _body_field(spec: FieldSpec) -> tuple[Any, Any]:
    """The type and the `Field` of one field of a body."""
    if is_dataclass(spec.type):
        inner: Any = _inner_body(spec.type)  # type: ignore[arg-type]
        return inner, Field(inner(), description=spec.about.help)
    kind = _type_with_checks(spec)
    default = ... if spec.required else spec.default
    examples = None if spec.about.example is None else [spec.about.example]
    field = Field(default, description=_description(spec), examples=examples)
    return kind | None if spec.optional else kind, field


def _one_or_several(kind: Any) -> Any:
    """The type of a value of that type or a list of them, each checked in the same way."""

    def check(value: Any, of_one: ValidatorFunctionWrapHandler) -> Any:
        if not isinstance(value, list):
            return of_one(value)
        if not 1 <= len(value) <= MAX_SEVERAL:
            raise InvalidInput(f"a list has 1 to {MAX_SEVERAL} of them, got {len(value)}")
        return [of_one(item) for item in value]

    def write_schema(schema: dict[str, Any]) -> None:
        one = {key: schema.pop(key) for key in ("type", "minimum", "maximum") if key in schema}
        schema["anyOf"] = [one, {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_SEVERAL}]

    return Annotated[kind, WrapValidator(check), Field(json_schema_extra=write_schema)]


def _type_with_checks(spec: FieldSpec) -> Any:
    kind, about = spec.type, spec.about
    checks: dict[str, Any] = {"ge": about.low, "gt": about.above, "le": about.high, "max_length": about.length}
    reader: Callable[[str], str] | None = None
    if about.parse is not None:
        reader = _parser(about.parse)
    elif tuple(about.choices):
        reader = _choice_check(spec)
    if reader is None:
        checks["pattern"] = about.pattern
    else:
        checks["json_schema_extra"] = _schema_writer(spec)
    kind = Annotated[kind, Field(**{name: check for name, check in checks.items() if check is not None})]
    return kind if reader is None else Annotated[kind, AfterValidator(reader)]


def _schema_writer(spec: FieldSpec) -> Callable[[dict[str, Any]], None]:
    """Adds pattern and choices when the schema is written, with the entries that packages have registered by then."""

    def add_pattern_and_choices(schema: dict[str, Any]) -> None:
        pattern = spec.about.pattern
        choices = list(spec.about.choices)
        if pattern is not None:
            schema["pattern"] = pattern() if callable(pattern) else pattern
        if choices:
            schema["enum"] = choices

    return add_pattern_and_choices


def _parser(parse: Callable[[str], object]) -> Callable[[str], str]:
    return lambda text: str(parse(text))


def _choice_check(spec: FieldSpec) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in spec.about.choices:
            raise UnknownName(spec.name, text[:40], spec.about.choices)
        return text

    return check


@cache
def answer(kind: Any) -> type[BaseModel]:
    """The model of an answer: a value as `fewstep.values.codec` writes it."""
    origin = get_origin(kind) or kind
    fields: dict[str, Any] = {}
    for key, spec in entries(kind).items():
        entry = shape(spec.type)
        fields[key] = (entry | None if spec.optional else entry, Field(description=_description(spec)))
    item = "".join(getattr(argument, "__name__", "") for argument in get_args(kind)[:1])
    name = f"{item}{origin.__name__}Out" if origin is Page else f"{origin.__name__}Out"
    return create_model(name, __doc__=_first_line(origin), **fields)


def shape(kind: Any) -> Any:
    """The type of the codec's JSON for a type, which may be a value, a list of values, or plain."""
    origin = get_origin(kind) or kind
    arguments = get_args(kind)
    if origin in (list, tuple):
        return list[shape(arguments[0])] if origin is tuple or is_dataclass(arguments[0]) else kind  # type: ignore[misc]
    if origin is Origin:
        return str
    if origin in SPECIAL and is_dataclass(origin):
        return dict[str, Any]
    return answer(kind) if is_dataclass(origin) else kind


def _description(spec: FieldSpec) -> str | None:
    about = spec.about
    return f"{about.help} ({about.unit})" if about.help and about.unit else about.help or None


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").split("\n\n")[0].replace("\n    ", " ").replace("``", "")
