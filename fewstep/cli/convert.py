"""Export of schedules to other programs' formats, and import of diffusers schedulers as schedules."""

import json
import warnings
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from fewstep import export, grids, processes, solvers
from fewstep.cli.files import read_schedule, write
from fewstep.errors import InvalidInput, InvalidSchedule
from fewstep.processes import Process
from fewstep.schedule import Schedule

__all__ = ["Format", "export_schedule", "import_scheduler"]


class Format(StrEnum):
    """Formats of export."""

    SIGMAS = "sigmas"
    COMFYUI = "comfyui"
    COMFYUI_NODE = "comfyui-node"
    DIFFUSERS = "diffusers"
    TABLEAU = "tableau"


Output = Annotated[Path | None, typer.Option("--output", "-o", help="Where to; standard output by default.")]


def export_schedule(
    schedule: Annotated[Path, typer.Argument(metavar="SCHEDULE", help="A schedule's JSON file.")],
    format: Annotated[
        Format,
        typer.Option(
            help="sigmas: a JSON list; comfyui: a line for ManualSigmas; comfyui-node: a custom node, "
            "as the folder --output; diffusers: FewstepScheduler's "
            "scheduler_config.json; tableau: plain numbers that ten lines of code run."
        ),
    ],
    sampler: Annotated[
        str | None, typer.Option(help="Whose sigmas: a sampler of k-diffusion; the first that fits by default.")
    ] = None,
    scheduler: Annotated[
        Path | None, typer.Option(help="Sigmas for a pipeline with this diffusers scheduler: its folder.")
    ] = None,
    mu: Annotated[
        float | None, typer.Option(help="With --scheduler: the shift by image size that flow pipelines compute.")
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
    if mu is not None and scheduler is None:
        raise InvalidInput("--mu goes with --scheduler")
    if format is Format.COMFYUI_NODE:
        _write_node(plan, output)
        return
    if format is Format.TABLEAU:
        text = json.dumps(export.portable(plan))
    elif format is Format.DIFFUSERS:
        text = _config(plan, prediction_type, time_scale)
    elif scheduler is not None:
        from fewstep.diffusers.importer.saved import load

        text = json.dumps(export.diffusers_sigmas(plan, load(scheduler), mu).tolist())
        typer.echo("for sigmas= of a pipeline with that scheduler", err=True)
    else:
        name = sampler or _first_sampler(plan)
        text = json.dumps(export.sigmas(plan, name)) if format is Format.SIGMAS else export.line(plan, name)
        typer.echo(f"for the sampler {name}", err=True)
    _write_or_print(text, output)


def import_scheduler(
    scheduler: Annotated[
        Path | None,
        typer.Argument(metavar="[SCHEDULER]", help="The folder of a diffusers scheduler, or of a pipeline."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="num_inference_steps, as the pipeline is called with.", min=1)
    ] = None,
    sigmas: Annotated[str | None, typer.Option(help='A posted list of noise levels, as "14.6,3.0,0.7,0".')] = None,
    timesteps: Annotated[str | None, typer.Option(help='A posted list of time steps, as "999,749,499,249".')] = None,
    solver: Annotated[
        str | None, typer.Option(help="Solver that goes over the list, as dpmpp-2m; by default the scheduler's.")
    ] = None,
    process: Annotated[
        str | None,
        typer.Option(help="Noise process of the list where there is no scheduler: a kind as flow, or its JSON."),
    ] = None,
    mu: Annotated[
        float | None, typer.Option(help="The shift by image size that flow pipelines compute, where they do.")
    ] = None,
    output: Output = None,
) -> None:
    """Write down, as a schedule, what a saved diffusers scheduler runs, or a solver on a posted list of times."""
    if sum(each is not None for each in (steps, sigmas, timesteps)) != 1:
        raise InvalidInput("import wants one of --steps, --sigmas and --timesteps")
    if process is not None and (scheduler is not None or solver is None):
        raise InvalidInput("--process goes with --solver, where no scheduler says the process")
    if solver is not None:
        if mu is not None:
            raise InvalidInput("--mu goes with a scheduler's own method: leave --solver out, or write shifted sigmas")
        plan, origin = _on_list(solver, _process(scheduler, process), sigmas, timesteps), solver
    elif scheduler is None:
        raise InvalidInput("import wants the folder of a scheduler, or a list with --solver and --process")
    else:
        plan, origin = _of_scheduler(scheduler, steps, sigmas, timesteps, mu)
    _write_or_print(plan.to_json(indent=2), output)
    complete = "its steps say all of it" if plan.fitted is None else "its numbers overrule its steps"
    given = f"{steps} steps" if steps is not None else "a list"
    typer.echo(
        f"{origin}, {given}: {plan.nfe} calls on {plan.process.kind}, from time {plan.times[0]:g} to "
        f"{plan.times[-1]:g}; {complete}",
        err=True,
    )


def _of_scheduler(
    path: Path, steps: int | None, sigmas: str | None, timesteps: str | None, mu: float | None
) -> tuple[Schedule, str]:
    """What a saved scheduler runs, and its class; its warnings are printed."""
    from fewstep.diffusers.importer import from_diffusers
    from fewstep.diffusers.importer.saved import load

    original = load(path)
    levels = None if sigmas is None else np.array(_numbers("--sigmas", sigmas))
    times = None if timesteps is None else [_whole(time) for time in _numbers("--timesteps", timesteps)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        plan = from_diffusers(original, steps, times, levels, mu)
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            typer.echo(f"note: {warning.message}", err=True)
    return plan, type(original).__name__


def _on_list(solver: str, process: Process, sigmas: str | None, timesteps: str | None) -> Schedule:
    """A solver on a posted list."""
    if sigmas is not None:
        times = grids.posted_sigmas(process, _numbers("--sigmas", sigmas))
    elif timesteps is not None:
        times = grids.posted_timesteps(process, _numbers("--timesteps", timesteps))
    else:
        raise InvalidInput("--solver goes with a list: --sigmas or --timesteps")
    return solvers.named(solver).on(process, times)


def _process(scheduler: Path | None, text: str | None) -> Process:
    """The noise process of a saved scheduler, of its kind's name, or of its JSON."""
    if scheduler is not None:
        from fewstep.diffusers.importer.saved import load
        from fewstep.models import scheduler_config

        saved = load(scheduler)
        return scheduler_config.read({"_class_name": type(saved).__name__, **saved.config}).process
    if text is None:
        raise InvalidInput("--solver goes with the folder of a scheduler, or with --process")
    try:
        return processes.from_dict(json.loads(text) if text.lstrip().startswith("{") else {"kind": text})
    except ValueError as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(
            f"--process is a kind ({', '.join(processes.names())}) or JSON, got {text[:80]!r}"
        ) from error


def _numbers(option: str, text: str) -> list[float]:
    """The numbers of a list as people post it: with commas, spaces or brackets."""
    words = text.replace(",", " ").strip("[]() \n").split()
    try:
        return [float(word) for word in words]
    except ValueError as error:
        raise InvalidInput(f"{option} is a list of numbers, got {text[:80]!r}") from error


def _whole(time: float) -> int:
    if time != int(time):
        raise InvalidInput(f"diffusers' time steps are whole numbers, got {time:g}: use --solver for others")
    return int(time)


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


def _write_node(plan: Schedule, folder: Path | None) -> None:
    """Write the custom node as a folder of one file."""
    if folder is None:
        raise InvalidInput("--format comfyui-node wants --output, a folder in ComfyUI's custom_nodes")
    text = export.comfyui_node(plan)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"cannot make the folder {folder}: {error.strerror}") from error
    write(folder / "__init__.py", text.encode())
    typer.echo(f"wrote {folder / '__init__.py'}: restart ComfyUI to have the node", err=True)


def _write_or_print(text: str, output: Path | None) -> None:
    if output is None:
        typer.echo(text)
    else:
        write(output, (text + "\n").encode())
