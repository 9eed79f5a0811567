"""Searches of every effort against the best named solvers and against published methods, on test noises.

``python -m benchmarks.quality [--model NAME]… [--nfe N]… [--effort NAME]… [--seed N]… [--no-peers]`` writes
``quality.json``, a row at a time, and from all rows ``quality.md`` and ``quality.png``. A row that is there is not made
again unless ``--again`` says so, and several processes may share the work. Rows of a model and NFE:

| method | what it is | seeds |
|---|---|---|
| named, named 2N | the best named solver and grid at N calls, and at 2N; chosen on these very noises | one |
| LD3, DyWeight, GS | published methods, written anew (`benchmarks.peers`) | as many as searches |
| quick, standard, thorough | `fewstep.search.find`, with the learned ranker at "thorough" | 4, or 1 |

All are measured on the same noises, which chose nothing else, against a teacher of 120 calls. ``calls`` counts the
model's, forward and backward, for each sample, with the method's own teacher; the test that a search makes of its
result is not among them. ``seconds`` are those of the CPU, with that test.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
import typer
from filelock import FileLock, Timeout
from rich.console import Console

import fewstep
from benchmarks import pages, patches, quality_report
from benchmarks.peers import PEERS
from benchmarks.quality_report import NAMED, TWICE
from fewstep import Schedule, models
from fewstep.models import Denoiser, Wrapped
from fewstep.search import metrics
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.find import find
from fewstep.search.metrics.base import fewest
from fewstep.search.metrics.spaces import FeatureSpace
from fewstep.search.stages.baselines import baselines
from fewstep.values.catalogue import Catalogue
from fewstep.values.objective import Objective

MODELS = ("digits-mixture", "digits-unet", "digits-ddm", "digits-cond", "patches")
NFES = (4, 5, 6, 8, 10)
EFFORTS = ("quick", "standard", "thorough")
SUMMARIES = ("typical", "mean", "median", "rms", "p95", "switch")
ROUNDS = ((16, 40), (64, 10))  # successive halving of named solvers: on so many noises, so many of them stay
TRUTH = 120  # calls of the teacher here; a search has its own
SEED = 20_000
SPLIT = "unseen"  # decides the test noises, with the seed
LARGEST = 1e3  # what a diverged pixel counts as
REPORT = Path("docs/benchmarks")  # what is written there, other pages quote
CACHE = Path("var/benchmarks/quality")  # teacher ends, and who makes which row


@dataclass(frozen=True)
class Case:
    """What is run on a model: ``peers`` are the calls of a published method, ``noises`` those of the test."""

    features: str = "digits"
    nfes: tuple[int, ...] = NFES
    efforts: tuple[str, ...] = EFFORTS
    seeds: int = 4
    peers: int = 100_000
    noises: int = 1024


PICTURES = Case("lite0", (5, 8), ("quick", "standard"), 1, 15_000)
CASES = {
    **dict.fromkeys(MODELS, Case()),
    "digits-mixture": Case(noises=4096),
    "patches": Case("pixels", noises=1536),
    "fashion-unet": PICTURES,
    "emoji-flow": PICTURES,
}


class Row(NamedTuple):
    """Which row: a method of `quality_report.METHODS`; the seed is 0 where there is none."""

    model: str
    nfe: int
    method: str
    seed: int


@dataclass(frozen=True)
class CallCounter(Wrapped):
    """Counting wrapper: ``calls[0]`` passes, forward and backward, over all denoisers bound from it."""

    calls: list[int] = field(default_factory=lambda: [0])

    def _add(self, samples: torch.Tensor) -> None:
        self.calls[0] += len(samples)

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        self._add(x)
        output = self.denoiser(x, t)
        if output.requires_grad:
            output.register_hook(self._add)  # type: ignore[no-untyped-call]
        return output


@dataclass
class Judge:
    """Test noises, their ends by a more converged teacher, and what is measured there."""

    evaluator: Evaluator
    noises: NoiseSet
    features: str = "pixels"

    def _samples(self, schedule: Schedule, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Samples of the first ``count`` noises, and the teacher's."""
        noise, ends = (values[:count] for values in self.evaluator.pairs(self.noises, TRUTH))
        samples = fewstep.sample(self.evaluator.under(self.noises, range(count)), schedule, noise)
        return samples.nan_to_num(LARGEST, LARGEST, -LARGEST).clamp(-LARGEST, LARGEST), ends

    def score(self, schedule: Schedule, objective: Objective, count: int | None = None) -> float:
        """The value of a schedule by an objective, on all noises or on the first ``count``."""
        metric = metrics.of(objective, device=self.evaluator.device)
        return metric.value(metric.observe(*self._samples(schedule, count or self.noises.count)))

    def summaries(self, schedule: Schedule) -> dict[str, Any]:
        """All summaries of a schedule; the Fréchet distance is None where its features want more noises."""
        samples, ends = self._samples(schedule, self.noises.count)
        result: dict[str, Any] = {}
        for name in SUMMARIES:
            metric = metrics.of(Objective(name))
            result[name] = metric.value(metric.observe(samples, ends))
        metric = metrics.of(Objective("frechet", self.features), device=self.evaluator.device)
        rows = metric.observe(samples, ends)
        enough = len(rows) >= fewest(metric, rows)
        return result | {"frechet": metric.value(rows) if enough else None, "features": self.features}

    def best(self, schedules: dict[str, Schedule]) -> tuple[str, Schedule]:
        """The name and schedule of the lowest typical error, by successive halving."""
        stayed = list(schedules)
        for count, most in (*ROUNDS, (self.noises.count, 1)):
            scores = {name: self.score(schedules[name], Objective("typical"), count) for name in stayed}
            stayed = sorted(stayed, key=scores.__getitem__)[:most]
        return stayed[0], schedules[stayed[0]]


class Made(NamedTuple):
    """What a method made: a schedule, its name if it has one, what it cost, the out-of-span share where known."""

    schedule: Schedule
    name: str = ""
    calls: int = 0
    out_of_span: float | None = None
    verdict: str | None = None


def load(model: str, device: str = "cpu") -> tuple[Denoiser, tuple[int, ...]]:
    """A model of the benchmark and its shape."""
    if model == "patches":
        return patches.mixture(), patches.SHAPE
    return models.zoo.load(model, device), models.zoo.describe(model).shape


def features_of(model: str) -> str:
    """The features of a model's Fréchet distance: pixels where those it should have are not installed."""
    wanted = CASES[model].features
    return wanted if wanted in Catalogue().features else "pixels"


def judge_of(model: str, count: int, device: str = "cpu", cache: Path | None = None) -> Judge:
    """The judge of a model on ``count`` noises."""
    denoiser, shape = load(model, device)
    identity = model if model == "patches" else models.zoo.describe(model).digest
    return Judge(Evaluator(denoiser, shape, identity, cache, device), NoiseSet(SEED, SPLIT, count), features_of(model))


def make(row: Row, judge: Judge, peers: int) -> Made:
    """Run the method of a row; published methods get so many calls."""
    process, shape, device = judge.evaluator.denoiser.process, judge.evaluator.shape, judge.evaluator.device
    if row.method in (NAMED, TWICE):
        name, best = judge.best(baselines(process, row.nfe * (1 + (row.method == TWICE))))
        return Made(best, name)
    counted = CallCounter(load(row.model, device)[0])
    if row.method in PEERS:
        space = None if judge.features == "pixels" else FeatureSpace(judge.features, device=device)
        evaluator = Evaluator(counted, shape, device=device, features=space)
        schedule = PEERS[row.method](evaluator, row.nfe, peers, row.seed)
        return Made(schedule, calls=counted.calls[0])
    rank = "learned" if row.method == "thorough" else "replay"
    result = find(counted, row.nfe, shape, rank=rank, device=device, effort=row.method, seed=row.seed)
    calls = counted.calls[0] - result.cost.test_calls
    return Made(result.schedule, result.winner.name, calls, result.out_of_span, result.verdict)


def measure(row: Row, judge: Judge, peers: int) -> dict[str, Any]:
    """The row as it is stored."""
    began = time.process_time()
    made = make(row, judge, peers)
    seconds = time.process_time() - began
    return {
        **row._asdict(),
        "name": made.name,
        **judge.summaries(made.schedule),
        "out_of_span": made.out_of_span,
        "calls": made.calls,
        "passes": made.calls * judge.evaluator.denoiser.passes,
        "seconds": round(seconds, 1) if made.calls else 0.0,
        "noises": judge.noises.count,
        "verdict": made.verdict,
    }


def rows_of(model: str, nfe: int, efforts: Sequence[str], seeds: Sequence[int], peers: bool) -> list[Row]:
    """The rows of a model and number of calls; named solvers first, since the others are compared with them."""
    methods = [*(PEERS if peers else ()), *(effort for effort in efforts if effort in CASES[model].efforts)]
    named = [Row(model, nfe, method, 0) for method in (NAMED, TWICE)]
    return named + [Row(model, nfe, method, seed) for seed in seeds for method in methods]


def write(out: Path, row: dict[str, Any]) -> list[dict[str, Any]]:
    """Put a row among the stored ones, and write page and plot from all; returns them."""
    stored = out / "quality.json"
    with FileLock(f"{stored}.lock"):
        key = [row[name] for name in Row._fields]
        every = [other for other in quality_report.read(stored) if [other[name] for name in Row._fields] != key]
        every = quality_report.ordered([*every, row], list(CASES))
        stored.write_text("[\n" + ",\n".join(map(json.dumps, every)) + "\n]\n")
        (out / "quality.md").write_text(quality_report.page(every))
        quality_report.plot(every, out / "quality.png")
        if out == REPORT:
            pages.quote("quality", quality_report.summary(every), *quality_report.PAGES)
    return every


def main(
    model: Annotated[list[str] | None, typer.Option(help="Models; all by default.")] = None,
    nfe: Annotated[list[int] | None, typer.Option(help="Numbers of calls; the model's own by default.")] = None,
    effort: Annotated[list[str] | None, typer.Option(help="Efforts of searches; the model's own by default.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seeds; the model's own by default.")] = None,
    peers: Annotated[bool, typer.Option(help="Rows of published methods.")] = True,
    peer_calls: Annotated[int, typer.Option(help="Calls of each, 0 for the model's own number.")] = 0,
    noises: Annotated[int, typer.Option(help="Test noises, 0 for the model's own number.")] = 0,
    again: Annotated[bool, typer.Option("--again", help="Make rows that are there as well.")] = False,
    device: Annotated[str, typer.Option(help="Where networks run.")] = "cpu",
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = REPORT,
) -> None:
    """Compare searches with named solvers and published methods."""
    torch.set_num_threads(1)
    for folder in (out, CACHE):
        folder.mkdir(parents=True, exist_ok=True)
    console = Console(width=160)
    for name in model or CASES:
        if name != "patches" and name not in models.zoo.names():
            console.print(f"{name} is not in the zoo: its rows are left out")
            continue
        case, judge = CASES[name], None
        for calls in nfe or case.nfes:
            for row in rows_of(name, calls, effort or EFFORTS, seed or range(case.seeds), peers):
                try:
                    with FileLock(CACHE / f"{name}-{calls}-{row.method}-{row.seed}.lock", timeout=0):
                        if not again and row in quality_report.keys(quality_report.read(out / "quality.json")):
                            continue
                        judge = judge or judge_of(name, noises or case.noises, device, CACHE)
                        made = measure(row, judge, peer_calls or case.peers)
                        write(out, made)
                        console.print(*row, f"typical {made['typical']:.4f}, {made['calls']} calls")
                except Timeout:
                    continue  # another process makes it


if __name__ == "__main__":
    typer.run(main)
