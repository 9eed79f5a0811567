"""Options that several commands share; those of a problem are derived from its fields."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from functools import wraps
from typing import Annotated, Any

import typer

from fewstep.values.fields import Slot, slots
from fewstep.values.problem import Problem

__all__ = ["URL", "Metric", "Url", "asks_problem", "option"]

Url = Annotated[str, typer.Option(envvar="FEWSTEP_URL", help="Address of the service.")]
URL = "http://127.0.0.1:8471"


def option(slot: Slot) -> Any:
    """The annotation of a command's parameter that asks for a field."""
    said = slot.about
    choices, names = ", ".join(said.choices), ", ".join(said.names)
    known = f": {choices}" if choices else f" ({names})" if names else ""
    least, most = (said.low, said.high) if slot.type is int else (None, None)
    asked = slot.type | None if slot.optional else slot.type
    return Annotated[asked, typer.Option(help=f"{said.help}{known}.", min=least, max=most)]


Metric = option(next(each for each in slots(Problem) if each.name == "metric"))


def asks_problem(command: Callable[..., None]) -> Callable[..., None]:
    """Puts an option for every field of a `Problem` that has a default in the place of the parameter ``options`` of a
    command, which gets them together, as `fewstep.values.problem.Options`."""
    signature = inspect.signature(command, eval_str=True)
    fields = list(_fields(Problem))

    @wraps(command)
    def asking(**given: Any) -> None:
        options: dict[str, Any] = {}
        for slot, within in fields:
            target = options if within is None else options.setdefault(within.name, {})
            target[slot.name] = given.pop(_name(slot))
        for within in {within.name: within for _, within in fields if within is not None}.values():
            options[within.name] = within.type(**options[within.name])
        command(**given, options=options)

    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name == "options":
            parameters += [_parameter(slot) for slot, _ in fields]
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    asking.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    asking.__annotations__ = {each.name: each.annotation for each in parameters}
    return asking


def _fields(kind: type) -> Iterator[tuple[Slot, Slot | None]]:
    """Each field with a default, those of an inner value one by one, with the field that holds them."""
    for each in slots(kind):
        if is_dataclass(each.type):
            yield from ((inner, each) for inner in slots(each.type))
        elif not each.required:
            yield each, None


def _name(slot: Slot) -> str:
    return slot.about.option or slot.name


def _parameter(slot: Slot) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(_name(slot), kind, default=slot.default, annotation=option(slot))
