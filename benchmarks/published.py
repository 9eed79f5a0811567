"""Published Fréchet scores: 50 000 samples of an EDM network at few calls, of the best named solvers and of ours.

``python -m benchmarks.published MODEL FEATURES REFERENCE [--devices cuda:0,cuda:1] [--nfe N]…`` searches and samples
what is missing in ``--out``, and writes ``published.json`` and a table. docs/published.md says where the files come
from.

| argument | what it is |
|---|---|
| MODEL | a model folder, of diffusers or of an exported program (docs/model-folders.md); `convert` writes one |
| FEATURES | weights of Inception-v3, ``.safetensors`` or ``.pth``, or an exported program of features, ``.pt2`` |
| REFERENCE | statistics ``.npz`` with ``mu`` and ``sigma``, or a folder of pictures to make them from |

For every NFE, named solvers on all grids are halved by their typical error on noises of their own, and a search is
made; the few named ones that stay, and ours, make ``samples`` images each. One row more is the check of weights,
conversion and features: Heun's method with 35 calls, whose published score is known.

Everything done lies in the folder, each part in a file that appears at once: choices by NFE, moments of features by
chunk of samples. A run that was broken off goes on where it stopped. Devices share the parts, one process each. A
sample's noise is that of its own index, so results do not depend on devices or on interruptions.
"""

import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

import fewstep
from fewstep import Schedule, models, predictor, processes, solvers
from fewstep.errors import InvalidInput, SearchFailed
from fewstep.models.layout import sha256
from fewstep.models.manifest import Manifest
from fewstep.search import find
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.metrics.base import value_of
from fewstep.search.metrics.features import Features, pixels, rows_of
from fewstep.search.metrics.frechet import Frechet, distance
from fewstep.search.metrics.moments import Moments
from fewstep.search.metrics.paired import Typical
from fewstep.search.metrics.reference import Reference, read
from fewstep.search.metrics.spaces import READERS
from fewstep.search.stages.baselines import baselines
from fewstep.values.limits import Limits

__all__ = ["Settings", "choose", "convert", "main", "moments", "reference", "spread"]

NFES = (4, 5, 6, 8, 10)
SAMPLES, CHUNK = 50_000, 2_000
NAMED = 3  # solvers of every NFE that make all samples
CALLS = 100_000  # of a search
ROUNDS = ((16, 40), (64, 10), (256, 0))  # halving of named solvers: on so many noises, so many stay (0: ``named``)
ROLES = "published choice", "published"  # of the noises that choose, and of the samples
CHECK = "heun", "edm", 35  # the published sampler, solver, grid and NFE
OUT = Path("var/benchmarks/published")
PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}

Task = TypeVar("Task")


class Row(NamedTuple):
    """A schedule of ``nfe`` calls that makes samples: ``kind`` is "named", "found" or "check"."""

    nfe: int
    kind: str
    name: str
    schedule: Schedule


@dataclass(frozen=True)
class Settings:
    """What the numbers depend on, and the folder ``out`` where they are kept; equal settings share what is done.

    ``rounds`` is the halving of named solvers, of which ``named`` stay; ``calls`` limits the search.
    """

    model: Path
    features: Path
    out: Path = OUT
    samples: int = SAMPLES
    chunk: int = CHUNK
    named: int = NAMED
    calls: int = CALLS
    seed: int = 0
    rounds: tuple[tuple[int, int], ...] = ROUNDS

    @cached_property
    def folder(self) -> Path:
        """The folder of these settings, named by a digest of them and of the files' contents."""
        numbers = {name: value for name, value in asdict(self).items() if name not in ("model", "features", "out")}
        content = [Manifest.read(self.model).digest, sha256(self.features), numbers]
        return self.out / hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    @property
    def chunks(self) -> list[NoiseSet]:
        """The noises of all samples, in parts."""
        return NoiseSet(self.seed, ROLES[1], self.samples).chunks(self.chunk)


def convert(network: torch.nn.Module, folder: Path, shape: tuple[int, ...] = (3, 32, 32)) -> None:
    """Write ``network(x, sigma) -> x_0``, as EDM's are once opened, as a model folder with an exported program.

    ``x`` is (B, *shape), ``sigma`` (B,). The network is on the CPU; it and its code come from whoever calls this: no
    pickle is read here.
    """
    process = processes.VE()
    states, times = torch.zeros(2, *shape), torch.ones(2)
    sizes = {"x": {0: torch.export.Dim("B")}, "t": {0: torch.export.Dim("B")}}
    program = torch.export.export(_Denoiser(network).eval(), (states, times), dynamic_shapes=sizes)
    folder.mkdir(parents=True, exist_ok=True)
    torch.export.save(program, folder / "program.pt2")
    facts = {"shape": list(shape), "process": processes.to_dict(process), "prediction": "data"}
    (folder / "fewstep.json").write_text(json.dumps(facts, indent=2) + "\n")


class _Denoiser(torch.nn.Module):
    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        denoised: torch.Tensor = self.network(x, t)
        return denoised.float()


@lru_cache(1)
def opened(model: Path, features: Path, device: str) -> tuple[Evaluator, Features]:
    """Model and features on a device, opened once in each process; raises `InvalidModel`."""
    manifest = Manifest.read(model)
    denoiser = models.folder.open(model, device, manifest)
    if features.suffix not in READERS:
        raise InvalidInput(f"features end in {', '.join(READERS)}, got {features.name}")
    return Evaluator(denoiser, manifest.shape, device=device), READERS[features.suffix](features, device)


def spread(work: Callable[[str, Task], object], devices: Sequence[str], tasks: Sequence[Task]) -> None:
    """``work(device, task)`` for all tasks, a process for each device; with one device, in this process.

    Raises `SearchFailed` where a process ended early; what was done is kept.
    """
    if len(devices) == 1 or len(tasks) < 2:
        _each(work, devices[0], tasks)
        return
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_each, args=(work, device, tasks[i :: len(devices)]), daemon=True)
        for i, device in enumerate(devices)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    failed = [device for device, worker in zip(devices, workers, strict=True) if worker.exitcode]
    if failed:
        raise SearchFailed(f"the work on {', '.join(failed)} ended early: its error is above; run this again to go on")


def _each(work: Callable[[str, Task], object], device: str, tasks: Sequence[Task]) -> None:
    parent = multiprocessing.parent_process()
    for task in tasks:
        if parent is not None and not parent.is_alive():
            return  # killed: its devices are to be free
        work(device, task)


@dataclass(frozen=True)
class Choice:
    """Choosing what is sampled at one NFE: the named solvers of least typical error, and a search's schedule."""

    settings: Settings

    def path(self, nfe: int) -> Path:
        """Where the choice is kept."""
        return self.settings.folder / f"choice-{nfe}.json"

    def __call__(self, device: str, nfe: int) -> None:
        """Make and keep the choice."""
        evaluator, _ = opened(self.settings.model, self.settings.features, device)
        denoiser, settings = evaluator.denoiser, self.settings
        schedules = baselines(denoiser.process, nfe)
        named = list(schedules)
        for count, most in settings.rounds:
            noises = NoiseSet(settings.seed, ROLES[0], count)
            squares = {name: evaluate.measure(evaluator, noises, schedules[name]) for name in named}
            errors = {name: value_of(Typical(), rows[:, None]) for name, rows in squares.items()}
            named = sorted(named, key=errors.__getitem__)[: most or settings.named]
        found = find(
            denoiser,
            nfe,
            evaluator.shape,
            device=device,
            rank=predictor.ranker,
            seed=settings.seed,
            effort="thorough",
            limits=Limits(calls=settings.calls),
        )
        rows = [Row(nfe, "named", name, schedules[name]) for name in named]
        rows.append(Row(nfe, "found", found.winner.name, found.schedule))
        text = json.dumps([[row.kind, row.name, row.schedule.to_json()] for row in rows])
        _appear(self.path(nfe), lambda path: path.write_text(text))
        print(f"chose {', '.join(row.name for row in rows)} at {nfe} calls", flush=True)

    def rows(self, nfe: int) -> list[Row]:
        """The choice that was made."""
        stored = json.loads(self.path(nfe).read_text())
        return [Row(nfe, kind, name, Schedule.from_json(text)) for kind, name, text in stored]


def choose(settings: Settings, devices: Sequence[str], nfes: Sequence[int]) -> list[Row]:
    """The schedules of all numbers of calls, chosen or read."""
    choice = Choice(settings)
    spread(choice, devices, [nfe for nfe in nfes if not choice.path(nfe).exists()])
    return [row for nfe in nfes for row in choice.rows(nfe)]


@dataclass(frozen=True)
class Sampling:
    """Sampling with one schedule: the moments of the features of a chunk of samples are left in a file."""

    settings: Settings
    schedule: Schedule

    @property
    def total(self) -> Path:
        """Where the moments of all samples are kept."""
        return self.settings.folder / "moments" / f"{self.schedule.digest[:16]}.npz"

    def path(self, noises: NoiseSet) -> Path:
        """Where those of a chunk are kept, until all are there."""
        return self.total.with_suffix("") / f"{noises.first:07}.npz"

    def __call__(self, device: str, noises: NoiseSet) -> None:
        """Sample a chunk and keep its moments, with whether all samples were finite."""
        evaluator, features = opened(self.settings.model, self.settings.features, device)
        noise = noises.draw(evaluator.shape).to(device)
        rows = rows_of(features, fewstep.sample(evaluator.under(noises), self.schedule, noise))
        finite = np.isfinite(rows).all()
        _write(self.path(noises), Moments.of(rows if finite else np.zeros_like(rows)), finite=bool(finite))


def moments(settings: Settings, devices: Sequence[str], schedule: Schedule) -> Moments | None:
    """The moments of the features of all samples of a schedule, sampled or read; None where a sample diverged."""
    sampling = Sampling(settings, schedule)
    if not sampling.total.exists():
        spread(sampling, devices, [noises for noises in settings.chunks if not sampling.path(noises).exists()])
        parts = [sampling.path(noises) for noises in settings.chunks]
        total, finite = _read(parts[0])
        for part in parts[1:]:
            more, also = _read(part)
            total, finite = total + more, finite and also
        _write(sampling.total, total, finite)
        shutil.rmtree(sampling.total.with_suffix(""))
    total, finite = _read(sampling.total)
    return total if finite else None


def reference(settings: Settings, device: str, source: Path) -> Reference:
    """The reference of a file of statistics, or of all pictures in a folder, whose statistics are kept.

    Raises `InvalidInput` where there is none.
    """
    if not source.is_dir():
        return read(source)
    pictures = sorted(path for path in source.rglob("*") if path.suffix.lower() in PICTURES)
    if len(pictures) < 2:
        raise InvalidInput(f"statistics are made from pictures, but {source} has {len(pictures)}")
    digest = hashlib.sha256("".join(map(sha256, pictures)).encode()).hexdigest()[:16]
    kept = settings.folder / f"reference-{digest}.npz"
    if not kept.exists():
        features = opened(settings.model, settings.features, device)[1]
        chunks = _read_pictures(pictures, settings.chunk)
        total = Moments.over(rows_of(features, images.to(device)) for images in chunks)
        _appear(kept, lambda path: np.savez(path, mu=total.mean, sigma=total.covariance))
    return read(kept)


def _read_pictures(paths: Sequence[Path], chunk: int) -> Iterator[torch.Tensor]:
    """The pictures as images (n, 3, H, W) in [−1, 1], at most ``chunk`` at a time."""
    from PIL import Image

    for first in range(0, len(paths), chunk):
        pixels_of = [np.asarray(Image.open(path).convert("RGB")) for path in paths[first : first + chunk]]
        yield torch.from_numpy(np.stack(pixels_of)).permute(0, 3, 1, 2) / 127.5 - 1


def _appear(path: Path, write: Callable[[Path], object]) -> None:
    """Have a file written and appear at once: a process that is killed meanwhile leaves none under its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial{path.suffix}")
    write(partial)
    partial.replace(path)


def _write(path: Path, part: Moments, finite: bool) -> None:
    def write(partial: Path) -> None:
        np.savez(partial, count=part.count, mean=part.mean, scatter=part.scatter, finite=finite)

    _appear(path, write)


def _read(path: Path) -> tuple[Moments, bool]:
    with np.load(path, allow_pickle=False) as file:
        return Moments(int(file["count"]), file["mean"], file["scatter"]), bool(file["finite"])


def score(total: Moments | None, against: Reference) -> tuple[float | None, str]:
    """The Fréchet distance, and why there is none: too few samples for it, or samples that diverged."""
    width = len(against.mean)
    if total is None:
        return None, "diverged"
    if total.mean.shape != (width,):
        raise InvalidInput(f"the reference has {width} features, the samples {len(total.mean)}: other weights made it")
    wanted = Frechet(pixels, lambda: against).fewest(width)
    return (distance(total, against), "") if total.count >= wanted else (None, f"wants {wanted} samples")


def check_row(process: processes.Process) -> Row:
    """The row of the published sampler."""
    solver, grid, nfe = CHECK
    return Row(nfe, "check", f"{solver} {grid}", solvers.named(solver).schedule(process, nfe, grid))


def main(
    model: Annotated[Path, typer.Argument(help="Model folder.", exists=True, file_okay=False)],
    features: Annotated[Path, typer.Argument(help="Weights of Inception-v3.", exists=True, dir_okay=False)],
    reference_of: Annotated[
        Path, typer.Argument(metavar="REFERENCE", help="Statistics .npz, or a folder of pictures.", exists=True)
    ],
    nfe: Annotated[list[int] | None, typer.Option(help="Numbers of calls.")] = None,
    devices: Annotated[str, typer.Option(help="Devices, as cuda:0,cuda:1.")] = "cpu",
    samples: Annotated[int, typer.Option(help="Samples of each schedule.", min=2)] = SAMPLES,
    chunk: Annotated[int, typer.Option(help="Samples of one file.", min=2)] = CHUNK,
    named: Annotated[int, typer.Option(help="Named solvers that are sampled.", min=1)] = NAMED,
    calls: Annotated[int, typer.Option(help="Passes of a search.")] = CALLS,
    seed: Annotated[int, typer.Option(help="Of noises and searches.")] = 0,
    check: Annotated[bool, typer.Option(help="Sample with the published sampler too.")] = True,
    out: Annotated[Path, typer.Option(help="Folder of all that is done.")] = OUT,
) -> None:
    """Make published scores of an EDM network, going on with what is there."""
    settings = Settings(model, features, out, samples, chunk, named, calls, seed, ROUNDS)
    on = devices.split(",")
    against = reference(settings, on[0], reference_of)
    process = Manifest.read(model).process
    rows = ([check_row(process)] if check else []) + choose(settings, on, nfe or NFES)
    table = Table("calls", "", "schedule", "FID")
    report: list[dict[str, Any]] = []
    for row in rows:
        value, reason = score(moments(settings, on, row.schedule), against)
        report.append({"nfe": row.nfe, "kind": row.kind, "name": row.name, "fid": value, "reason": reason})
        table.add_row(str(row.nfe), row.kind, row.name, reason if value is None else f"{value:.3f}")
        print(f"{row.kind} {row.name} at {row.nfe} calls: {reason or value}", flush=True)
        text = json.dumps({"samples": samples, "seed": seed, "rows": report}, indent=2) + "\n"
        _appear(settings.folder / "published.json", lambda path, text=text: path.write_text(text))  # type: ignore[misc]
    Console(width=110).print(table)
    print(f"wrote {settings.folder / 'published.json'}")


if __name__ == "__main__":
    typer.run(main)
