"""``fewstep models``: list the zoo's and the service's models; add, show and remove the service's."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from fewstep.cli.display import short, table
from fewstep.cli.options import URL, Url
from fewstep.client import Client
from fewstep.errors import InvalidInput, InvalidModel
from fewstep.models import zoo
from fewstep.values.model import Model

__all__ = ["app"]

app = typer.Typer(help="Models of the zoo and of the service.", invoke_without_command=True)
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="A model's id, or its name.")]


@app.callback()
def models(context: typer.Context, url: Url = URL) -> None:
    """List the zoo's models and the service's, or work on one."""
    if context.invoked_subcommand is None:
        list_(url)


@app.command("list")
def list_(url: Url = URL) -> None:
    """List the zoo's models and the service's."""
    console = Console()
    columns: tuple[str, ...] = ("name", "shape", "process", "summary")
    zoo_models = [zoo.describe(name) for name in zoo.names()]
    console.print("the zoo", style="bold")
    console.print(table(columns, [(m.name, _size(m.shape), m.process.kind, m.summary) for m in zoo_models], columns))
    with Client(url) as client:
        models = client.models()
    console.print(f"known at {url}", style="bold", highlight=False)
    columns = ("id", "name", "state", *columns[1:])
    lines = [(m.id, m.name, m.state, _size(m.shape), m.process.get("kind", "–"), m.summary) for m in models]
    console.print(table(columns, lines, columns) if lines else "none yet: fewstep models add NAME adds one\n")


@app.command()
def add(
    name: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A model of the zoo; else a folder below a root of the service's, or with --upload here, or with "
            "--commit owner/name of a hub.",
        ),
    ],
    upload: Annotated[bool, typer.Option("--upload", help="Send the files of a model folder on this machine.")] = False,
    title: Annotated[str | None, typer.Option("--name", help="What to call an upload.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale of an upload.")] = None,
    commit: Annotated[str | None, typer.Option(help="Commit of a hub's repository, 40 digits.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until the service has tried it; fail if refused.")] = False,
    url: Url = URL,
) -> None:
    """Make a model known to the service; prints its id."""
    if upload and commit:
        raise InvalidInput("a model comes from this machine (--upload) or from a hub (--commit), not from both")
    source = "upload" if upload else "hub" if commit else "zoo" if name in zoo.names() else "folder"
    with Client(url) as client:
        if upload:
            model = _upload(client, Path(name), title, guidance)
        else:
            model = client.add_model(name, source, commit=commit, title=title, guidance=guidance)
        if wait:
            model = client.wait_for_model(model.id)
    typer.echo(model.id)
    typer.echo(f"{model.name} is {model.state}: {url.rstrip('/')}/models/{model.id} shows it", err=True)
    if wait and model.state == "refused":
        raise InvalidModel(f"model {model.id} was refused: {model.reason}")


@app.command()
def show(model: ModelName, url: Url = URL) -> None:
    """Print what the service knows of a model."""
    with Client(url) as client:
        facts = _facts(client.model(model))
    Console().print(table(("", "value"), facts, ("", "value")))


@app.command()
def remove(model: ModelName, url: Url = URL) -> None:
    """Make the service forget a model with its searches and schedules."""
    with Client(url) as client:
        client.remove_model(model)


def _facts(model: Model) -> list[tuple[str, Any]]:
    facts = model.facts
    lines = {
        "id": model.id,
        "name": model.name,
        "source": model.source,
        "state": model.state,
        "reason": model.reason,
        "network": facts.network,
        "shape": _size(model.shape),
        "process": model.process.get("kind"),
        "prediction": facts.prediction,
        "parameters": None if facts.parameters is None else f"{facts.parameters:,}",
        "conditions": facts.conditions or None,
        "guidance": facts.guidance,
        "passes per call": facts.passes,
        "seconds per call": None if facts.seconds_per_call is None else short(facts.seconds_per_call),
        "digest": model.digest,
    }
    return [(name, value) for name, value in lines.items() if value not in (None, "")]


def _upload(client: Client, folder: Path, title: str | None, guidance: float | None) -> Model:
    """Upload a folder, with a progress bar from the first byte on."""
    columns = (TextColumn("upload"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task("upload")

    def progress(sent: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=sent, total=total)

    try:
        return client.add_model(folder, "upload", title=title, guidance=guidance, progress=progress)
    finally:
        if bar.live.is_started:
            bar.stop()


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(str(size) for size in shape)
