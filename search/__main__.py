"""``python -m search MODEL --nfe N``: search in this process, with a progress bar, and write the schedule.

Several ``--nfe`` are searched in turn, fewest calls first: each has a warm start from the trials of those before it and
from the best schedule with a call less. What the teacher did is kept in the user's cache folder (`fewstep.cache`) and
shared by all searches of the model.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fewstep.cache import user_cache
from fewstep.cli.display import phases
from fewstep.cli.options import with_problem_options
from fewstep.cli.wording import summary
from fewstep.errors import FewstepError
from fewstep.export import line
from fewstep.export.hosts import target
from fewstep.models.reference import ModelReference
from fewstep.search.export import save, space_of
from fewstep.search.find import find
from fewstep.search.log import Callbacks, WarmStart
from fewstep.values.problem import Options
from fewstep.values.rankers import RANKERS
from fewstep.values.trial import Trial


@with_problem_options
def main(
    model: Annotated[str, typer.Argument(help="A model of the zoo, or a model folder.")] = "digits-mixture",
    nfe: Annotated[
        list[int] | None, typer.Option(help="Network calls per sample, 8 by default; several for a search of each.")
    ] = None,
    *,
    options: Options,
    features: Annotated[Path | None, typer.Option(help="Folder with more features and references.")] = None,
    rank: Annotated[str, typer.Option(help=f"Ranker of proposals: {', '.join(RANKERS)}.")] = "replay",
    device: Annotated[str, typer.Option(help="Where the network runs, as torch names it.")] = "cpu",
    solver_for: Annotated[
        str | None,
        typer.Option("--for", help="Times alone, for a sampler as comfyui:dpmpp_2m: a line of sigmas is the result."),
    ] = None,
    study: Annotated[Path | None, typer.Option(help="SQLite file to add the search to, for optuna-dashboard.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the schedule as JSON; of several, NAME-8.json and so on.")
    ] = None,
) -> None:
    """Search in this process and print the winner."""
    console, numbers = Console(), sorted(set(nfe or [8]))
    warm = WarmStart()
    try:
        host = None if solver_for is None else target(solver_for)
        reference = ModelReference.at(model)
        denoiser, shape = reference.open(device)
        for calls in numbers:
            trials: list[Trial] = []
            fewer = [schedule for schedule in warm.schedules if schedule.nfe == calls - 1]
            with phases(console) as progress:
                result = find(
                    denoiser,
                    calls,
                    shape,
                    rank=rank,
                    device=device,
                    warm=WarmStart(fewer, warm.trials),
                    on=Callbacks(trial=trials.append, progress=progress),
                    features=features,
                    cache=user_cache() / "teachers",
                    identity=reference.digest,
                    solver=host,
                    **options,
                )
            warm = WarmStart([result.schedule], [*warm.trials, *trials])
            if study is not None:
                problem = result.problem
                title = f"{model}, {calls} calls, {problem.metric}, {problem.sampler}, seed {problem.seed}"
                save(trials, space_of(trials), study, title)
            path = out if out is None or len(numbers) == 1 else out.with_stem(f"{out.stem}-{calls}")
            if path is not None:
                path.write_text(result.schedule.to_json(indent=2) + "\n")
            console.print(f"{calls} calls by {summary(result)}", highlight=False, markup=False, soft_wrap=True)
            if host is not None:
                console.print(f"sigmas for {solver_for}: {line(result.schedule, host.sampler)}", soft_wrap=True)
            for file in (study, path):
                if file is not None:
                    console.print(f"wrote {file}")
    except (FewstepError, OSError) as error:
        typer.secho(f"fewstep: {error}", err=True, fg="red")
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(main)
