"""Measurements on a GPU: speed of a call, a search that runs out of memory, slots on one device, the network's share.

``python -m benchmarks.gpu [--quick] [--device cuda|cpu] [--out FOLDER]`` writes ``gpu.json``, row by row, and
``gpu.md``. The network is a UNet2DConditionModel of 53 million parameters on latents of 4 × 64 × 64, with random
weights and flow matching, saved as a model folder:

- memory: a search whose calls are of 16 samples and more where three fit, and how often it halved them;
- slots: evaluations a second of a small model, with one, two and four slots on the device;
- share: the seconds of a quick search, those inside the network, and the device's memory;
- speed: a call under each execution of fewstep.json, and how far samples of eight calls are from those of float32.

A part whose seconds are over begins no further row, and none begins after seven minutes; what fails is a row that says
so. With ``--quick``, and on a CPU, everything is tiny, and shows no more than that the command runs.
"""

import gc
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.gpu_report import machine, page
from fewstep import models, sample, solvers
from fewstep.models import Denoiser, Wrapped
from fewstep.models.reference import ModelReference
from fewstep.schedule import Schedule
from fewstep.search.evaluation.evaluator import Evaluator, measure
from fewstep.search.evaluation.local_pool import LocalPool
from fewstep.search.evaluation.noises import SEARCH, NoiseSet
from fewstep.search.find import find
from fewstep.values.limits import Limits
from fewstep.values.problem import Options
from fewstep.values.result import Result

SEED, NFE = 0, 8
FITS = 3  # samples that the part on memory leaves room for
ROOM = 1.1  # times what they take
MOST_SECONDS = 420.0  # after which no row begins
UNTIMED = 3  # calls before the timed ones
GIB = 2**30
FOLDER, TRIALS = Path("docs/benchmarks"), Path("var/benchmarks")  # of a report, and of one that only shows that it runs
HALF = {"dtype": "bfloat16", "channels_last": True}
EXECUTIONS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16": {"dtype": "bfloat16"},
    "bfloat16, channels last": HALF,
    "compiled too": HALF | {"compile": "default"},
    "compiled, CUDA graphs": HALF | {"compile": "reduce-overhead"},
}
Row = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """Channels of the U-Net's ``blocks``, ``size`` of its latents, ``search`` and ``shares``, the options of a search
    and the executions of those whose seconds are shared out, ``batches`` and ``repeats`` of timed calls, ``slots`` with
    their small ``model``, its ``noises`` for an evaluation, and the ``seconds`` of evaluations."""

    blocks: tuple[int, ...] = (128, 256, 448)
    size: int = 64
    search: Options = field(default_factory=lambda: Options(effort="quick"))
    shares: tuple[str, ...] = ("float32", "bfloat16, channels last")
    batches: tuple[int, int] = (1, 64)
    repeats: int = 20
    slots: tuple[int, ...] = (1, 2, 4)
    model: str = "fashion-unet"
    noises: int = 64
    seconds: float = 5.0


SMALL = Options(effort="quick", noises=8, limits=Limits(calls=1000))
TINY = Sizes((32,), 8, SMALL, ("float32",), (1, 2), 2, (1, 2), "digits-mixture", 4, 0.1)


@dataclass(frozen=True)
class Bench:
    """The network's ``folder``, the ``device`` and the ``sizes``."""

    folder: Path
    device: str
    sizes: Sizes

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one sample."""
        return 4, self.sizes.size, self.sizes.size

    def open(self, execution: str) -> Denoiser:
        """The network, to run as the execution of that name says."""
        (self.folder / "fewstep.json").write_text(json.dumps({"execution": EXECUTIONS[execution]}))
        return models.folder.open(self.folder, self.device)

    def search(self, denoiser: Denoiser, shape: tuple[int, ...]) -> Result:
        """A search of samples of ``shape``."""
        return find(denoiser, NFE, shape, device=self.device, **self.sizes.search)

    @property
    def on_gpu(self) -> bool:
        """Whether the device is one whose work is waited for and whose memory is counted here."""
        return torch.device(self.device).type == "cuda"

    def settle(self) -> float:
        """The clock's seconds, once the device has done its work."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def peak(self) -> float | None:
        """The most GiB in the device's tensors since `clean`; None on a CPU."""
        return round(torch.cuda.max_memory_allocated(self.device) / GIB, 2) if self.on_gpu else None

    def clean(self) -> None:
        """Give back what earlier rows held."""
        torch.compiler.reset()
        gc.collect()
        if self.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)


def save(folder: Path, sizes: Sizes) -> int:
    """Write the model folder; returns the network's number of parameters."""
    from diffusers import FlowMatchEulerDiscreteScheduler as Scheduler
    from safetensors.torch import save_file

    from benchmarks.large import TOKENS, WIDTH, network

    unet = network(sizes.blocks, sizes.size)
    unet.save_pretrained(folder / "unet")
    Scheduler().save_pretrained(folder / "scheduler")  # type: ignore[no-untyped-call, attr-defined]
    prompt = torch.randn(1, TOKENS, WIDTH, generator=torch.Generator().manual_seed(SEED))
    save_file({"prompt": prompt}, folder / "conditions.safetensors")
    return sum(each.numel() for each in unet.parameters())


class Kept(logging.Handler):
    """A handler that keeps the records of a log."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.records.append(record)


@contextmanager
def heard(name: str) -> Iterator[list[logging.LogRecord]]:
    """What the logger of that name says meanwhile."""
    kept, logger = Kept(), logging.getLogger(name)
    logger.addHandler(kept)
    try:
        yield kept.records
    finally:
        logger.removeHandler(kept)


@dataclass(frozen=True)
class Crowded(Wrapped):
    """A stand-in for a device with memory for ``fits`` samples."""

    fits: int

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The answer of the denoiser inside; raises `torch.OutOfMemoryError` for more samples."""
        if len(x) > self.fits:
            raise torch.OutOfMemoryError(f"{len(x)} samples, and memory for {self.fits}")
        return self.denoiser(x, t)


@contextmanager
def crowded(bench: Bench) -> Iterator[tuple[Denoiser, tuple[int, ...]]]:
    """A denoiser and its shape where about `FITS` samples fit: the network, with a limit on what torch may allocate; on
    a CPU a small model that refuses more."""
    if not bench.on_gpu:
        yield Crowded(models.zoo.load(bench.sizes.model), FITS), models.zoo.describe(bench.sizes.model).shape
        return
    denoiser = bench.open("float32")
    with torch.no_grad():
        x = torch.zeros(FITS, *bench.shape, device=bench.device)
        denoiser.bound(range(FITS))(x, torch.ones(FITS, device=bench.device))
    limit = ROOM * torch.cuda.max_memory_reserved(bench.device)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(limit / torch.cuda.mem_get_info(bench.device)[1], bench.device)
    try:
        yield denoiser, bench.shape
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, bench.device)


def memory(bench: Bench) -> Iterator[Row]:
    """A search whose calls are too large for the memory."""
    with crowded(bench) as (denoiser, shape), heard("fewstep.search.limit") as said:
        began = bench.settle()
        result = bench.search(denoiser, shape)
        seconds = bench.settle() - began
    yield {
        "halvings": [list(record.args or ()) for record in said],
        "calls": result.cost.calls,
        "seconds": round(seconds, 1),
        "peak_gib": bench.peak(),
    }


def evaluation(evaluator: Evaluator, noises: NoiseSet, schedule: Schedule) -> tuple[int, float]:
    """One evaluation in a slot: the slot's process, and the seconds."""
    began = time.perf_counter()
    measure(evaluator, noises, schedule)
    return os.getpid(), time.perf_counter() - began


def slots(bench: Bench) -> Iterator[Row]:
    """Evaluations a second, by the number of slots on one device."""
    sizes = bench.sizes
    process = models.zoo.describe(sizes.model).process
    task = NoiseSet(SEED, SEARCH, sizes.noises), solvers.named("dpmpp-2m").schedule(process, NFE)
    with tempfile.TemporaryDirectory() as cache:  # of the teacher's samples, which all slots share
        for count in sizes.slots:
            with LocalPool([bench.device] * count, Path(cache)) as pool:
                evaluators, awake, each = pool.model(ModelReference.zoo(sizes.model)), set[int](), 0.0
                while len(awake) < count:
                    for future in [evaluators.submit(evaluation, *task) for _ in range(2 * count)]:
                        who, each = future.result()
                        awake.add(who)
                tasks = count * max(2, int(sizes.seconds / (each * count)))
                began = time.perf_counter()
                for future in [evaluators.submit(evaluation, *task) for _ in range(tasks)]:
                    future.result()
                seconds = time.perf_counter() - began
            yield {"slots": count, "evaluations": tasks, "per_second": round(tasks / seconds, 2)}


@dataclass
class Watch:
    """Seconds inside a network, its calls, and the samples of these together."""

    seconds: float = 0.0
    calls: int = 0
    samples: int = 0


@dataclass(frozen=True)
class Timed(Wrapped):
    """A denoiser whose calls are timed by ``watch``; the device is waited for before and after each."""

    bench: Bench
    watch: Watch

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The answer of the denoiser inside."""
        began = self.bench.settle()
        answer = self.denoiser(x, t)
        self.watch.seconds += self.bench.settle() - began
        self.watch.calls, self.watch.samples = self.watch.calls + 1, self.watch.samples + len(x)
        return answer


def shared(bench: Bench, execution: str) -> Row:
    """One search: its seconds inside the network, and all of them."""
    bench.clean()
    watch, network = Watch(), bench.open(execution)
    milliseconds(bench, network, 1)  # the first calls bring the device to life
    began = bench.settle()
    result = bench.search(Timed(network, bench, watch), bench.shape)
    seconds = bench.settle() - began
    return {
        "execution": execution,
        "search_calls": result.cost.search_calls,
        "test_calls": result.cost.test_calls,
        "batches": watch.calls,
        "samples": watch.samples,
        "seconds": round(seconds, 2),
        "network_seconds": round(watch.seconds, 2),
        "share": round(watch.seconds / seconds, 3),
        "peak_gib": bench.peak(),
    }


def share(bench: Bench) -> Iterator[Row]:
    """Searches under some of the executions."""
    yield from (shared(bench, name) for name in bench.sizes.shares)


def milliseconds(bench: Bench, denoiser: Denoiser, batch: int) -> float:
    """The median of a call's milliseconds; the first calls are not timed."""
    x, t = torch.zeros(batch, *bench.shape, device=bench.device), torch.full((batch,), 0.5, device=bench.device)
    bound, times = denoiser.bound(range(batch)), list[float]()
    with torch.no_grad():
        for _ in range(UNTIMED + bench.sizes.repeats):
            began = bench.settle()
            bound(x, t)
            times.append(bench.settle() - began)
    return round(1000 * statistics.median(times[UNTIMED:]), 3)


def called(bench: Bench, execution: str, noise: torch.Tensor) -> tuple[Row, torch.Tensor]:
    """Seconds of opening and calls under an execution, and the samples of the ``noise`` (B, ...)."""
    bench.clean()
    few, many = bench.sizes.batches
    with heard("fewstep.models.prepare") as said:
        began = bench.settle()
        denoiser = bench.open(execution)
        opened = bench.settle() - began
        schedule = solvers.named("dpmpp-2m").schedule(denoiser.process, NFE)
        samples = sample(denoiser.bound(range(len(noise))), schedule, noise)
        first, second = milliseconds(bench, denoiser, few), milliseconds(bench, denoiser, many)
    row = {
        "execution": execution,
        "open_seconds": round(opened, 1),
        "milliseconds": {str(few): first, str(many): second},
        "samples_per_second": round(1000 * many / second, 1),
        "peak_gib": bench.peak(),
        "fault": said[0].getMessage() if said else None,
    }
    return row, samples.flatten(1)


def speed(bench: Bench) -> Iterator[Row]:
    """Calls under each execution, and how far its samples are from those of the first, relative to their size."""
    generator = torch.Generator().manual_seed(SEED)
    noise = torch.randn(bench.sizes.batches[-1], *bench.shape, generator=generator).to(bench.device)
    truth: torch.Tensor | None = None
    for name in EXECUTIONS:
        row, samples = called(bench, name, noise)
        truth = samples if truth is None else truth
        deviation = float(((samples - truth).norm(dim=1) / truth.norm(dim=1)).max())
        yield row | {"deviation": float(f"{deviation:.3g}")}


PARTS: dict[str, tuple[Callable[[Bench], Iterator[Row]], float]] = {  # with the seconds after which no row begins
    "memory": (memory, 60.0),
    "slots": (slots, 75.0),
    "share": (share, 45.0),
    "speed": (speed, 180.0),
}


def rows_of(part: str, bench: Bench, end: float) -> Iterator[Row]:
    """The rows of a part: the last says so where time is over, by the part's seconds or the clock's ``end``, or where
    something fails."""
    make, seconds = PARTS[part]
    end = min(end, time.monotonic() + seconds)
    bench.clean()
    try:
        for row in make(bench):
            yield {"part": part, **row}
            if time.monotonic() > end:
                yield {"part": part, "ended": "time was over after this row: none was begun any more"}
                return
    except Exception as error:
        logging.getLogger(__name__).exception("part %s", part)
        yield {"part": part, "failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}


def main(
    quick: Annotated[bool, typer.Option(help="Everything tiny: whether it runs.")] = False,
    device: Annotated[str, typer.Option(help="cuda or cpu; on a CPU everything is tiny.")] = "cuda",
    out: Annotated[Path | None, typer.Option(help="Folder of the report; of a tiny one by default var.")] = None,
) -> None:
    """Run all parts and write the report after every row."""
    tiny = quick or torch.device(device).type == "cpu"
    if torch.device(device).type == "cuda":
        if not torch.cuda.is_available():
            raise typer.BadParameter(f"there is no device {device!r} here: run it on a GPU, or with --device cpu")
        device = f"cuda:{torch.device(device).index or 0}"
    out = out or (TRIALS if tiny else FOLDER)
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bench, rows = Bench(Path(folder), device, TINY if tiny else Sizes()), list[Row]()
        parameters = save(bench.folder, bench.sizes)
        about = {"machine": machine(device), "tiny": tiny, "parameters": parameters, "shape": list(bench.shape)}
        report = about | {"rows": rows}
        for part in PARTS:
            for row in rows_of(part, bench, began + MOST_SECONDS):
                rows.append(row)
                typer.echo(f"{time.monotonic() - began:5.0f} s  {json.dumps(row)}")
                (out / "gpu.json").write_text(json.dumps(report, indent=1) + "\n")
                (out / "gpu.md").write_text(page(report))
    if any("failed" in row for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
