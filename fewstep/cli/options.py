"""Options of several commands; those of a problem are derived from its fields."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from functools import wraps
from typing import Annotated, Any

import typer

from fewstep.values.fields import FieldSpec, field_specs
from fewstep.values.problem import Problem

__all__ = ["URL", "Metric", "Url", "with_problem_options", "option"]

Url = Annotated[str, typer.Option(envvar="FEWSTEP_URL", help="Address of the service.")]
URL = "http://127.0.0.1:8471"


def option(spec: FieldSpec) -> Any:
    """The annotation of a command's parameter for a field of a value."""
    about = spec.about
    choices = ", ".join(about.choices)
    names = ", ".join(about.names)
    suffix = f": {choices}" if choices else f" ({names})" if names else ""
    least = f", at least {about.low}" if about.low else ""
    kind = spec.type | None if spec.optional else spec.type
    return Annotated[kind, typer.Option(help=f"{about.help}{least}{suffix}.")]


Metric = option(next(spec for spec in field_specs(Problem) if spec.name == "metric"))


def with_problem_options(command: Callable[..., None]) -> Callable[..., None]:
    """A decorator that replaces a command's parameter ``options`` by one option for every field of a `Problem` with a
    default; the command gets them together, as `fewstep.values.problem.Options`."""
    signature = inspect.signature(command, eval_str=True)

    @wraps(command)
    def with_options(**arguments: Any) -> None:
        options: dict[str, Any] = {}
        for spec in field_specs(Problem):
            if is_dataclass(spec.type):
                parts = {part.name: arguments.pop(_name(part)) for part in field_specs(spec.type)}
                options[spec.name] = spec.type(**parts)  # type: ignore[operator]
            elif not spec.required:
                options[spec.name] = arguments.pop(_name(spec))
        command(**arguments, options=options)

    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name == "options":
            parameters += [_parameter(spec) for spec in _optional(Problem)]
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def _optional(kind: Any) -> Iterator[FieldSpec]:
    """The fields with a default; a field that holds a value is represented by the fields of that value."""
    for spec in field_specs(kind):
        if is_dataclass(spec.type):
            yield from field_specs(spec.type)
        elif not spec.required:
            yield spec


def _name(spec: FieldSpec) -> str:
    return spec.about.option or spec.name


def _parameter(spec: FieldSpec) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(_name(spec), kind, default=spec.default, annotation=option(spec))
