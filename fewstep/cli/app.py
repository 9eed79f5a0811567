"""The command line: ask the service for a search, follow it, fetch its schedule, and sample with it here."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from typer.core import TyperGroup

from fewstep.cli import cache as cache_commands
from fewstep.cli import models as model_commands
from fewstep.cli.commands import COMMANDS, AddedCommand
from fewstep.cli.convert import export_schedule, import_scheduler
from fewstep.cli.display import axis, steps_table
from fewstep.cli.files import read_schedule, write
from fewstep.cli.grid import measure_grid
from fewstep.cli.publish import publish
from fewstep.cli.searches import fetch, submit, watch
from fewstep.errors import FewstepError

if TYPE_CHECKING:
    from fewstep.models import Denoiser

__all__ = ["app"]

MAX_SAMPLES = 4096


class _Group(TyperGroup):
    """Prints fewstep's own errors in one line and exits with 1; any other error keeps its traceback.

    Commands of installed packages come after the built-in ones.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        builtin = super().list_commands(ctx)
        return [*builtin, *(name for name in COMMANDS if name not in builtin)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return super().get_command(ctx, cmd_name) or (AddedCommand(cmd_name) if cmd_name in COMMANDS else None)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except FewstepError as error:
            typer.echo(f"fewstep: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Group,
    help="Find, fetch and run few-step samplers for diffusion models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ScheduleFile = Annotated[Path, typer.Argument(metavar="SCHEDULE", help="A schedule's JSON file.")]


app.add_typer(model_commands.app, name="models")
app.add_typer(cache_commands.app, name="cache")
for command in (submit, watch, fetch, publish):
    app.command()(command)


@app.command()
def sample(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model of the zoo, or a model folder.")],
    schedule: ScheduleFile,
    count: Annotated[int, typer.Option("-n", help="Number of samples.", min=1, max=MAX_SAMPLES)] = 16,
    seed: Annotated[int, typer.Option(help="Seed of the start noise.", min=0, max=2**63 - 1)] = 0,
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG file to write.")] = Path("samples.png"),
) -> None:
    """Draw samples with a schedule, in this process, and save them as a picture."""
    import torch

    from fewstep import sample as run
    from fewstep.cli.picture import grid, png

    plan = read_schedule(schedule)
    denoiser, shape = _open(model)
    generator = torch.Generator().manual_seed(seed)
    # one draw per sample: the first samples do not depend on their number
    noise = torch.stack([torch.randn(shape, generator=generator) for _ in range(count)])
    write(output, png(grid(run(denoiser.bound(range(count)), plan, noise))))
    typer.echo(f"{count} samples in {plan.nfe} calls each: {output}", err=True)


@app.command()
def show(schedule: ScheduleFile) -> None:
    """Print a schedule: times, log-SNR, order, prediction and scale of every step."""
    plan = read_schedule(schedule)
    console = Console()
    end = f"{float(plan.process.log_snr(np.float64(plan.times[-1]))):+.3f}"
    console.print(steps_table(plan))
    console.print(f"ends at time {plan.times[-1]:.5g}, log-SNR {end}\n", highlight=False)
    console.print(axis(plan, min(console.width, 72)), highlight=False)
    fitted = "fitted numbers that overrule these steps" if plan.fitted is not None else "the numbers of these steps"
    shift = f"; time shift {plan.shift.target}, window {plan.shift.window:g}" if plan.shift is not None else ""
    console.print(
        f"\n{plan.nfe} calls on {plan.process.kind}; {fitted}{shift}; digest {plan.digest[:16]}",
        highlight=False,
        soft_wrap=True,
    )


app.command("export")(export_schedule)
app.command("import")(import_scheduler)
app.command("grid")(measure_grid)


def _open(model: str) -> "tuple[Denoiser, tuple[int, ...]]":
    """A model in this process, and the shape of one sample."""
    from fewstep.models.reference import ModelReference

    return ModelReference.at(model).open()
