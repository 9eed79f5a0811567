"""Commands of installed packages, imported only when they run, so that help stays fast.

    [project.entry-points."fewstep.commands"]
    sharpen = "my_package.commands:sharpen"

The entry is a function with typer's annotations, or a `typer.Typer` of several commands.
"""

from typing import Any

import typer
from typer.core import TyperCommand

from fewstep.registry import Registry

__all__ = ["COMMANDS", "AddedCommand"]

COMMANDS: Registry[Any] = Registry(
    "command",
    "fewstep.commands",
    {
        "tune": "fewstep.tuning.commands:tune",
        "compare": "fewstep.tuning.commands:compare",
        "conditions": "fewstep.tuning.commands:conditions",
    },
)
"""Functions and apps by the name of their command: those that run a search here, and those of packages. Fewstep's other
commands come first."""

HELP = {
    "tune": "Find the best schedule for a diffusers pipeline, in this process.",
    "conditions": "Embed prompts into a pipeline's folder, so that it is a model to submit.",
    "compare": "Compare schedules on the same noises: error, passes, seconds.",
}


class AddedCommand(TyperCommand):
    """Placeholder of an entry of `COMMANDS` in the list of commands; loads the entry when it runs."""

    def __init__(self, name: str) -> None:
        super().__init__(name, help=HELP.get(name, "A command of an installed package."))

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the command itself."""
        return _command(str(self.name)).make_context(info_name, args, parent, **extra)


def _command(name: str) -> Any:
    entry = COMMANDS[name]
    if not isinstance(entry, typer.Typer):
        app = typer.Typer(add_completion=False)
        app.command(name)(entry)
        entry = app
    return typer.main.get_command(entry)
