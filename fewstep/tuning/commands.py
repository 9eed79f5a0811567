"""Commands that work on a diffusers pipeline in this process: `fewstep tune` and `fewstep compare`."""

from json import dumps, loads
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from fewstep.cli.display import phases
from fewstep.cli.files import read_schedule, write
from fewstep.cli.options import URL, Url, with_problem_options
from fewstep.cli.publish import Title, tell
from fewstep.cli.wording import summary
from fewstep.client import Client
from fewstep.errors import InvalidInput
from fewstep.models.reference import ModelReference
from fewstep.schedule import Schedule
from fewstep.tuning.comparison import compare as compare_schedules
from fewstep.tuning.pipeline import TuneResult, default_prompts, wants_prompt
from fewstep.tuning.pipeline import tune as tune_pipeline
from fewstep.values.problem import Options
from fewstep.values.publication import check_title

__all__ = ["compare", "conditions", "is_pipeline", "open_pipeline", "read_prompts", "tune"]

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

Folder = Annotated[str, typer.Argument(metavar="PIPELINE", help="A pipeline's folder; with --hub a repository's id.")]
Prompts = Annotated[Path | None, typer.Option(help="Text file with a prompt a line; 64 of our own by default.")]
Arguments = Annotated[
    list[str] | None,
    typer.Option("--call", help="An argument of the pipeline, as height=512; may be given several times."),
]
Device = Annotated[str, typer.Option(help="Where the pipeline runs, as torch names it.")]
Dtype = Annotated[str, typer.Option(help=f"Type of its numbers: {', '.join(DTYPES)}.")]
Hub = Annotated[bool, typer.Option("--hub", help="Allow a repository of the hub in the place of a folder.")]
Batch = Annotated[int, typer.Option(help="Samples that run together.", min=1)]


@with_problem_options
def tune(
    pipeline: Folder,
    nfe: Annotated[int, typer.Option(help="Network calls per sample.")] = 8,
    prompts: Prompts = None,
    guidance: Annotated[float | None, typer.Option(help="The guidance scale that you use.")] = None,
    call: Arguments = None,
    *,
    options: Options,
    batch: Batch = 8,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    hub: Hub = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the schedule.")] = Path("schedule.json"),
    page: Annotated[
        Path | None, typer.Option(help="Where to write a page with samples before and after; costs more calls.")
    ] = None,
    result: Annotated[Path | None, typer.Option(help="Where to write the whole result, for fewstep publish.")] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Publish the result to the service at --url.")] = False,
    name: Title = None,
    url: Url = URL,
) -> None:
    """Find the best schedule for a diffusers pipeline, in this process; the same command goes on after a kill."""
    console = Console(stderr=True)
    arguments = _arguments(call or []) | ({} if guidance is None else {"guidance_scale": guidance})
    texts = None if prompts is None else read_prompts(prompts)
    if name is not None:
        check_title(name)
    if publish:
        with Client(url) as client:
            client.models()  # a service that does not answer is found out before the search
    pipe = open_pipeline(pipeline, device, dtype, hub)
    if options["effort"] is None and not options["budget"] and not options["noises"]:
        options["effort"] = "quick"
    with phases(console) as progress:
        tuned = tune_pipeline(
            pipe,
            nfe,
            texts,
            call=arguments,
            batch=batch,
            progress=progress,
            **options,
        )
    write(out, (tuned.schedule.to_json(indent=2) + "\n").encode())
    for line in (summary(tuned.result), *_beside(tuned), f"wrote {out}"):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if page is not None:
        tuned.compare().write_html(page)
        console.print(f"wrote {page}")
    if result is not None:
        write(result, (tuned.publication(name).to_json(indent=2) + "\n").encode())
        console.print(f"wrote {result}")
    if publish:
        tell(tuned.publish(url, name), url)


def compare(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model of the zoo, a model folder or a pipeline's.")],
    schedules: Annotated[
        list[str],
        typer.Argument(
            metavar="SCHEDULE…", help="Files of schedules; now:PIPELINE@20 is a pipeline's scheduler with 20 steps."
        ),
    ],
    prompts: Prompts = None,
    call: Arguments = None,
    noises: Annotated[int, typer.Option(help="Start noises, the same for all.", min=2)] = 32,
    seed: Annotated[int, typer.Option(help="Seed of the noises.", min=0)] = 0,
    distance: Annotated[str, typer.Option(help="Metric of the sets of samples.")] = "wasserstein",
    batch: Batch = 8,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    html: Annotated[Path | None, typer.Option(help="Where to write a page with samples and differences.")] = None,
    json: Annotated[Path | None, typer.Option(help="Where to write the numbers.")] = None,
) -> None:
    """Compare schedules on the same noises: error, passes, seconds; the first is what ratios refer to."""
    if is_pipeline(model):
        from fewstep.diffusers.capture.from_pipeline import from_pipeline

        texts, arguments = None if prompts is None else read_prompts(prompts), _arguments(call or [])
        pipe = open_pipeline(model, device, dtype)
        if texts is None and wants_prompt(pipe):
            texts = default_prompts()
        denoiser: Any = from_pipeline(pipe, texts, batch=batch, **arguments)
        shape = None
    else:
        denoiser, shape = ModelReference.at(model).open(device)
    plans = {name: _plan(name, model) for name in schedules}
    result = compare_schedules(denoiser, plans, shape, noises=noises, seed=seed, device=device, distance=distance)
    console = Console()
    for each in result.schedules:
        low, high = each.ratio_interval.low, each.ratio_interval.high
        console.print(
            f"{each.name}: {each.calls} calls, {each.passes} passes, {each.seconds:.2f} s; typical error "
            f"{each.typical:.3g}, {each.ratio:.2f} × the first ({low:.2f}–{high:.2f}); {distance} {each.distance:.3g}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if html is not None:
        result.write_html(html)
        console.print(f"wrote {html}")
    if json is not None:
        write(json, (result.to_json() + "\n").encode())
        console.print(f"wrote {json}")


def conditions(
    pipeline: Folder,
    prompts: Annotated[Path, typer.Argument(metavar="PROMPTS", help="Text file with a prompt a line.")],
    guidance: Annotated[float | None, typer.Option(help="The guidance scale that searches are to run at.")] = None,
    call: Arguments = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
) -> None:
    """Embed prompts into a pipeline's folder (conditions.safetensors, fewstep.json): it is a model to submit then."""
    from safetensors.torch import save_file

    from fewstep.diffusers.capture.conditions import network_conditions

    arguments = _arguments(call or []) | ({} if guidance is None else {"guidance_scale": guidance})
    texts = read_prompts(prompts)
    pipe = open_pipeline(pipeline, device, dtype)
    with torch.no_grad():
        tensors = network_conditions(pipe, texts, **arguments)
    folder = Path(pipeline)
    save_file(tensors, folder / "conditions.safetensors")
    if guidance is not None:
        manifest = folder / "fewstep.json"
        facts = loads(manifest.read_text()) if manifest.exists() else {}
        write(manifest, (dumps(facts | {"guidance": guidance}, indent=2) + "\n").encode())
    shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in sorted(tensors.items()))
    typer.echo(f"{len(texts)} conditions: {shapes}", err=True)


def open_pipeline(name: str, device: str = "cpu", dtype: str = "float32", hub: bool = False) -> Any:
    """A diffusers pipeline from a folder, or where ``hub`` allows it, from a repository; weights as safetensors only.

    Raises `InvalidInput` where there is none.
    """
    if dtype not in DTYPES:
        raise InvalidInput(f"dtype is one of {', '.join(DTYPES)}, got {dtype!r}")
    if not hub and not is_pipeline(name):
        raise InvalidInput(
            f"{name} is no folder with a model_index.json, as pipe.save_pretrained writes it; a repository of the hub "
            "is opened with --hub only"
        )
    try:
        from diffusers import DiffusionPipeline
    except ImportError as error:
        raise InvalidInput("a pipeline takes diffusers: pip install 'fewstep[diffusers]'") from error
    try:
        pipe = DiffusionPipeline.from_pretrained(  # type: ignore[no-untyped-call]
            name, dtype=DTYPES[dtype], use_safetensors=True, local_files_only=not hub
        )
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InvalidInput(f"diffusers cannot open the pipeline {name}: {reason}") from error
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def is_pipeline(name: str) -> bool:
    """Whether a folder of that name holds a saved pipeline."""
    return (Path(name) / "model_index.json").is_file()


def read_prompts(path: Path) -> list[str]:
    """The prompts of a text file, one a line, empty lines left out; raises `InvalidInput` where there is none."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read prompts from {path}: {error}") from error
    prompts = [line for line in lines if line]
    if not prompts:
        raise InvalidInput(f"{path} has no prompts: write one a line")
    return prompts


def _arguments(texts: list[str]) -> dict[str, Any]:
    """``name=value`` as the pipeline's arguments: numbers, true, false and text."""
    arguments: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise InvalidInput(f"--call takes name=value, for instance height=512, got {text!r}")
        arguments[name] = _value(value)
    return arguments


def _value(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _plan(name: str, model: str) -> Schedule | str:
    """A schedule to compare: a file's, "now" of the model's own pipeline, or that of another pipeline's scheduler."""
    if not name.startswith("now"):
        return read_schedule(Path(name))
    place, _, steps = name.removeprefix("now").removeprefix(":").rpartition("@")
    if place in ("", model) and is_pipeline(model):
        return f"now@{steps}"
    if not place or not steps.isdigit():
        raise InvalidInput(f"a scheduler of today reads now:PIPELINE@20, got {name!r}")
    from fewstep.diffusers.importer import from_diffusers
    from fewstep.diffusers.importer.saved import load

    return from_diffusers(load(Path(place)), int(steps))


def _beside(tuned: TuneResult) -> list[str]:
    lines = [f"note      {note}" for note in tuned.notes]
    if tuned.searched_ratio is not None and tuned.searched_interval is not None:
        low, high = tuned.searched_interval.low, tuned.searched_interval.high
        lines.insert(0, f"          {tuned.searched_ratio:.2f} ({low:.2f}–{high:.2f}) on the prompts of the search")
    return lines
