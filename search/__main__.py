"""``python -m search MODEL --nfe N``: search in this process, with a progress bar, and write the schedule."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fewstep.errors import FewstepError
from fewstep.models.reference import ModelReference
from fewstep.problem import SAMPLERS, Trial
from search.export import save, space_of
from search.find import find


def main(
    model: Annotated[str, typer.Argument(help="A model of the zoo, or a model folder.")] = "digits-mixture",
    nfe: Annotated[int, typer.Option(help="Network calls per sample.")] = 8,
    budget: Annotated[int, typer.Option(help="Schedules to evaluate.")] = 400,
    seed: Annotated[int, typer.Option(help="Seed of the noises and of the search.")] = 0,
    noises: Annotated[int, typer.Option(help="Start noises that a schedule is measured on.")] = 128,
    device: Annotated[str, typer.Option(help="Where the network runs, as torch names it.")] = "cpu",
    sampler: Annotated[str, typer.Option(help=f"What proposes schedules: {', '.join(SAMPLERS)}.")] = "guided",
    study: Annotated[Path | None, typer.Option(help="SQLite file to add the search to, for optuna-dashboard.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write the schedule as JSON.")] = None,
) -> None:
    """Search in this process and print what was found."""
    console = Console()
    trials: list[Trial] = []
    columns = (TextColumn("{task.description:8}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        denoiser, shape = ModelReference.at(model).open(device)
        with Progress(*columns, console=console) as bars:
            bar = bars.add_task("teacher", total=None)
            result = find(
                denoiser,
                nfe,
                shape,
                budget=budget,
                seed=seed,
                noises=noises,
                device=device,
                sampler=sampler,
                record=trials.append,
                progress=lambda phase, done, total: bars.update(bar, description=phase, completed=done, total=total),
            )
        if study is not None:
            save(trials, space_of(trials), study, f"{model}, {nfe} calls, {sampler}, seed {seed}")
        if out is not None:
            out.write_text(result.schedule.to_json(indent=2) + "\n")
    except (FewstepError, OSError) as error:
        typer.secho(f"fewstep: {error}", err=True, fg="red")
        raise typer.Exit(1) from None
    score, baseline = result.score, result.baseline
    console.print(f"found     {score.value:.4f} ± {score.standard_error:.4f}  {result.schedule.digest[:16]}")
    console.print(f"baseline  {baseline.value:.4f} ± {baseline.standard_error:.4f}  {result.baseline_name}")
    console.print(f"ratio     {result.ratio:.2f} [{result.ratio_low:.2f}, {result.ratio_high:.2f}]", highlight=False)
    console.print(f"on {score.noises} held-out noises; {result.calls:,} network calls, {result.seconds:.0f} s")
    for written in (study, out):
        if written is not None:
            console.print(f"wrote {written}")


if __name__ == "__main__":
    typer.run(main)
