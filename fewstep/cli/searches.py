"""The command line's searches: submitted to the service, followed, their schedules fetched."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fewstep.cli.display import follow, measured
from fewstep.cli.files import write
from fewstep.cli.options import URL, Metric, Url, with_problem_options
from fewstep.cli.wording import estimate, fetch_command, summary
from fewstep.client import Client, Search
from fewstep.errors import SearchFailed
from fewstep.models import zoo
from fewstep.values.objective import DEFAULT
from fewstep.values.problem import MAX_NFE, Options
from fewstep.values.score import Score

__all__ = ["fetch", "submit", "watch"]

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="A model of the zoo, or one that the service knows.")]


@with_problem_options
def submit(
    model: ModelName,
    nfe: Annotated[
        list[int],
        typer.Option(help="Network calls per sample; several for a search of each.", min=1, max=MAX_NFE),
    ],
    options: Options,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what it would cost, and stop.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before the start.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and follow the searches in turn.")] = False,
    url: Url = URL,
) -> None:
    """Queue a search on the service, or one for each --nfe, fewest calls first; prints their ids.

    What it will cost is printed first; at a terminal the command asks before the start.
    """
    with Client(url) as client:
        if model in zoo.names():
            client.add_model(model)
        for expected in client.estimate(model, nfe, **options):
            typer.echo(estimate(expected), err=not dry_run)
        if dry_run:
            return
        if not yes and _at_terminal():
            typer.confirm("Start?", default=True, abort=True, err=True)
        searches = client.submit(model, nfe, **options)
        for search in searches:
            typer.echo(search.id)
            typer.echo(f"{url.rstrip('/')}/searches/{search.id} shows it", err=True)
        if watch:
            _follow(client, searches)


def _at_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def watch(id: Annotated[str, typer.Argument(metavar="ID", help="The search's id.")], url: Url = URL) -> None:
    """Follow a search until it ends; fails where it does."""
    with Client(url) as client:
        _follow(client, [client.search(id)])


def fetch(
    model: ModelName,
    nfe: Annotated[int, typer.Option(help="Network calls per sample.", min=1, max=MAX_NFE)],
    metric: Metric = DEFAULT,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to; standard output by default.")] = None,
    url: Url = URL,
) -> None:
    """Fetch the best schedule of a model with at most so many calls."""
    with Client(url) as client:
        result = client.best(model, nfe, metric).result
    text = result.schedule.to_json(indent=2) + "\n"
    if output is None:
        typer.echo(text, nl=False)
    else:
        write(output, text.encode())
    problem = result.problem
    between, secondary = result.ratio_interval, result.winner.secondary
    ratio = f"{result.ratio:.3f} times {result.baseline_name} (95 % {between.low:.3f}–{between.high:.3f})"
    second = "" if secondary is None else f"; {problem.report} {_words(secondary)}"
    verdict = "" if result.verdict is None else f"; {result.verdict}"
    line = f"{result.schedule.nfe} calls, {problem.metric} {_words(result.score)}, {ratio}{second}{verdict}"
    typer.echo(line, err=True)


def _words(score: Score) -> str:
    return measured(score.value, score.standard_error)


def _follow(client: Client, searches: Sequence[Search]) -> None:
    """Follow searches in turn; raises `SearchFailed` at the end where any of them has no result."""
    console, failed = Console(), []
    for search in searches:
        asked = search.problem
        console.print(f"{asked.nfe} calls by {asked.metric}, search {search.id}", highlight=False, soft_wrap=True)
        follow(client.watch(search.id), console)
        search = client.search(search.id)
        if search.state != "succeeded":
            failed.append(f"search {search.id} {search.state}: {search.error or 'it has no result'}")
            continue
        console.print(summary(client.result(search.id).result), highlight=False, markup=False, soft_wrap=True)
        typer.echo(f"{fetch_command(asked)} fetches it", err=True)
    if failed:
        raise SearchFailed("; ".join(failed))
