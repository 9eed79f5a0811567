"""The command line: ask the service for a search, follow it, fetch what it found, and run it here."""

from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from typer.core import TyperGroup

from fewstep import processes
from fewstep import sample as run
from fewstep.client import Client, Search
from fewstep.commands import models as model_commands
from fewstep.commands.convert import export_schedule, import_scheduler
from fewstep.commands.grid import measure_grid
from fewstep.commands.options import URL, Url
from fewstep.display import axis, follow, measured, steps_table
from fewstep.errors import FewstepError, SearchFailed
from fewstep.files import read_schedule, write
from fewstep.models import Denoiser, zoo
from fewstep.models.base import bound
from fewstep.models.reference import ModelReference
from fewstep.picture import grid, png
from fewstep.problem import MAX_NFE, MIN_NOISES

__all__ = ["app"]

MAX_SAMPLES = 4096


class _Group(TyperGroup):
    """Says an expected error in one line and exits with 1; whatever is not expected keeps its traceback."""

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

Nfe = Annotated[int, typer.Option(help="Network calls per sample.", min=1, max=MAX_NFE)]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="A model of the zoo, or one that the service knows.")]
ScheduleFile = Annotated[Path, typer.Argument(metavar="SCHEDULE", help="A schedule's JSON file.")]


app.add_typer(model_commands.app, name="models")


@app.command()
def submit(
    model: ModelName,
    nfe: Nfe,
    budget: Annotated[int, typer.Option(help="Schedules to evaluate.", min=1)] = 400,
    seed: Annotated[int, typer.Option(help="Seed of the search's noises and choices.", min=0)] = 0,
    noises: Annotated[int, typer.Option(help="Start noises that a trial is measured on.", min=MIN_NOISES)] = 128,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and follow the search.")] = False,
    url: Url = URL,
) -> None:
    """Queue a search on the service; prints its id."""
    with Client(url) as client:
        if model in zoo.names():
            client.add_model(model)
        search = client.submit(model, nfe, budget=budget, seed=seed, noises=noises)
        typer.echo(search.id)
        typer.echo(f"{url.rstrip('/')}/searches/{search.id} shows it", err=True)
        if watch:
            _follow(client, search)


@app.command()
def watch(id: Annotated[str, typer.Argument(metavar="ID", help="The search's id.")], url: Url = URL) -> None:
    """Follow a search until it ends; fails where it does."""
    with Client(url) as client:
        _follow(client, client.search(id))


@app.command()
def fetch(
    model: ModelName,
    nfe: Nfe,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to; standard output by default.")] = None,
    url: Url = URL,
) -> None:
    """Fetch the best schedule found for a model with at most so many calls."""
    with Client(url) as client:
        result = client.best(model, nfe).result
    text = result.schedule.to_json(indent=2) + "\n"
    if output is None:
        typer.echo(text, nl=False)
    else:
        write(output, text.encode())
    ratio = f"{result.ratio:.3f} times {result.baseline_name} (95 % {result.ratio_low:.3f}–{result.ratio_high:.3f})"
    error = measured(result.score.value, result.score.standard_error)
    typer.echo(f"{result.schedule.nfe} calls, error {error}, {ratio}", err=True)


@app.command()
def sample(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model of the zoo, or a model folder.")],
    schedule: ScheduleFile,
    count: Annotated[int, typer.Option("-n", help="Number of samples.", min=1, max=MAX_SAMPLES)] = 16,
    seed: Annotated[int, typer.Option(help="Seed of the start noise.", min=0, max=2**63 - 1)] = 0,
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG file to write.")] = Path("samples.png"),
) -> None:
    """Draw samples with a schedule, in this process, and save them as a picture."""
    plan, (denoiser, shape) = read_schedule(schedule), _open(model)
    draw = torch.Generator().manual_seed(seed)
    # one draw per sample: the first ones stay the same however many are asked for
    noise = torch.stack([torch.randn(shape, generator=draw) for _ in range(count)])
    write(output, png(grid(run(bound(denoiser, range(count)), plan, noise))))
    typer.echo(f"{count} samples in {plan.nfe} calls each: {output}", err=True)


@app.command()
def show(schedule: ScheduleFile) -> None:
    """Print a schedule: times, log-SNR, order, prediction and scale of every step."""
    plan, console = read_schedule(schedule), Console()
    end = f"{float(plan.process.log_snr(torch.tensor(plan.times[-1], dtype=torch.float64))):+.3f}"
    console.print(steps_table(plan))
    console.print(f"ends at time {plan.times[-1]:.5g}, log-SNR {end}\n", highlight=False)
    console.print(axis(plan, min(console.width, 72)), highlight=False)
    process = processes.to_dict(plan.process)["kind"]
    fitted = "fitted numbers that overrule these steps" if plan.rows is not None else "the numbers of these steps"
    moved = f"; time shift {plan.shift.target}, window {plan.shift.window:g}" if plan.shift is not None else ""
    console.print(
        f"\n{plan.nfe} calls on {process}; {fitted}{moved}; digest {plan.digest[:16]}", highlight=False, soft_wrap=True
    )


app.command("export")(export_schedule)
app.command("import")(import_scheduler)
app.command("grid")(measure_grid)


def _follow(client: Client, search: Search) -> None:
    follow(client.watch(search.id), Console())
    search = client.search(search.id)
    if search.state != "succeeded":
        raise SearchFailed(f"search {search.id} {search.state}: {search.error or 'it has no result'}")
    asked = search.problem
    typer.echo(f"fewstep fetch {asked.model} --nfe {asked.nfe} -o schedule.json fetches what was found", err=True)


def _open(model: str) -> tuple[Denoiser, tuple[int, ...]]:
    """A model here, and the shape of one sample."""
    return ModelReference.at(model).open()
