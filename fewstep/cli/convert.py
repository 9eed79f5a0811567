"""Export of schedules to other programs' formats, and import of diffusers schedulers as schedules."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fewstep import export
from fewstep.cli.files import read_schedule, write
from fewstep.errors import InvalidInput, InvalidSchedule
from fewstep.schedule import Schedule

__all__ = ["Format", "export_schedule", "import_scheduler"]


class Format(StrEnum):
    """Formats of export."""

    SIGMAS = "sigmas"
    COMFYUI = "comfyui"
    DIFFUSERS = "diffusers"
    TABLEAU = "tableau"


Output = Annotated[Path | None, typer.Option("--output", "-o", help="Where to; standard output by default.")]


def export_schedule(
    schedule: Annotated[Path, typer.Argument(metavar="SCHEDULE", help="A schedule's JSON file.")],
    format: Annotated[
        Format,
        typer.Option(
            help="sigmas: a JSON list; comfyui: a line for ManualSigmas; diffusers: FewstepScheduler's "
            "scheduler_config.json; tableau: plain numbers that ten lines of code run."
        ),
    ],
    sampler: Annotated[
        str | None, typer.Option(help="Whose sigmas: a sampler of k-diffusion; the first that fits by default.")
    ] = None,
    scheduler: Annotated[
        Path | None, typer.Option(help="Sigmas for a pipeline with this diffusers scheduler: its folder.")
    ] = None,
    prediction_type: Annotated[
        str | None, typer.Option(help="For diffusers: what the network predicts, such as epsilon.")
    ] = None,
    time_scale: Annotated[
        float | None, typer.Option(help="For diffusers: what makes the schedule's times the network's, such as 1000.")
    ] = None,
    output: Output = None,
) -> None:
    """Write a schedule as what another program takes; refuses with the reason where that program cannot run it."""
    plan = read_schedule(schedule)
    if scheduler is not None and (format is not Format.SIGMAS or sampler is not None):
        raise InvalidInput("--scheduler goes with --format sigmas, and without --sampler")
    if format is Format.TABLEAU:
        text = json.dumps(export.portable(plan))
    elif format is Format.DIFFUSERS:
        text = _config(plan, prediction_type, time_scale)
    elif scheduler is not None:
        from fewstep.diffusers.importer.saved import load

        text = json.dumps(export.diffusers_sigmas(plan, load(scheduler)).tolist())
        typer.echo("for sigmas= of a pipeline with that scheduler", err=True)
    else:
        name = sampler or _first_sampler(plan)
        text = json.dumps(export.sigmas(plan, name)) if format is Format.SIGMAS else export.line(plan, name)
        typer.echo(f"for the sampler {name}", err=True)
    _write_or_print(text, output)


def import_scheduler(
    scheduler: Annotated[
        Path, typer.Argument(metavar="SCHEDULER", help="The folder of a diffusers scheduler, or of a pipeline.")
    ],
    steps: Annotated[int, typer.Option(help="num_inference_steps, as the pipeline is called with.", min=1)],
    mu: Annotated[
        float | None, typer.Option(help="The shift by image size that flow pipelines compute, where they do.")
    ] = None,
    output: Output = None,
) -> None:
    """Write down, as a schedule, what a saved diffusers scheduler runs."""
    from fewstep.diffusers.importer import from_diffusers
    from fewstep.diffusers.importer.saved import load

    original = load(scheduler)
    plan = from_diffusers(original, steps, mu=mu)
    _write_or_print(plan.to_json(indent=2), output)
    complete = "its steps say all of it" if plan.fitted is None else "its numbers overrule its steps"
    typer.echo(
        f"{type(original).__name__}, {steps} steps: {plan.nfe} calls on {plan.process.kind}, from time "
        f"{plan.times[0]:g} to {plan.times[-1]:g}; {complete}",
        err=True,
    )


def _first_sampler(plan: Schedule) -> str:
    names = export.samplers(plan)
    if not names:
        raise InvalidSchedule(
            "sigmas alone make no sampler run this schedule (--sampler euler, heun, dpmpp_2m or lms says why): take "
            "--format tableau or diffusers, or fewstep.export.sampler"
        )
    return names[0]


def _config(plan: Schedule, prediction_type: str | None, time_scale: float | None) -> str:
    try:
        from fewstep.diffusers.scheduler import FewstepScheduler
    except ImportError as error:
        raise InvalidInput("--format diffusers takes diffusers: pip install diffusers") from error
    text: str = FewstepScheduler.from_schedule(plan, prediction_type, time_scale).to_json_string()
    return text.rstrip()


def _write_or_print(text: str, output: Path | None) -> None:
    if output is None:
        typer.echo(text)
    else:
        write(output, (text + "\n").encode())
