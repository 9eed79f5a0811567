"""Every stage of a search against the baselines, on test noises.

``python -m benchmarks.quality [--model NAME]… [--nfe N]… [--calls N] [--quick]`` writes ``quality.json``, and from
everything in it ``quality.md`` and ``quality.png``: parts that were run before stay, so a large table can be made piece
by piece, and by several processes. Rows: the best baseline of all and of DDIM, the best solver on the
score-optimal grid and its blend, the best baseline at twice the calls, replayed times with one closed-form fit;
then a search within ``--calls`` (0: without a limit): its best discrete schedule, the best fitted one, that of the
time search, polished, and what it published. ``calls`` counts passes forward and backward up to that row, the teacher's
included; baselines cost none.
"""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from filelock import FileLock
from rich.console import Console

import fewstep
from benchmarks import pages, patches, quality_report
from fewstep import Schedule, Step, grids, models, predictor
from fewstep.models import Denoiser, Wrapped, features
from fewstep.search.engine import run
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import SEARCH, NoiseSet, NoiseSplit
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.log import Callbacks
from fewstep.search.metrics.frechet import between
from fewstep.search.optimize import replay
from fewstep.search.optimize.fit import fit
from fewstep.search.space import Space
from fewstep.search.stages.arc_length import SAMPLES, along, arc_length
from fewstep.search.stages.baselines import baselines
from fewstep.values.limits import Limits
from fewstep.values.problem import Problem
from fewstep.values.trial import Trial

MODELS = ("digits-mixture", "digits-unet", "digits-ddm", "digits-cond", "patches")
NFES = (4, 5, 6, 8, 10)
TEST_NOISES = 1024  # four times as many for the mixture, whose calls cost little
ROUNDS = ((16, 40), (64, 10))  # successive halving of baselines: on so many noises, so many of them stay
CALLS = 100_000  # of a search
TRUTH = 120  # calls of the teacher here; a search has its own
TITLES = {"fit": "+ fit", "time-search": "+ time search", "polish": "+ polish"}  # of stages; the others are "search"
SEED = 20_000
SPLIT = "unseen"  # decides the test noises, with the seed
REPORT = Path("docs/benchmarks")  # what is written there, other pages quote


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
    digits: bool
    best_baselines: dict[int, tuple[str, Schedule]] = field(default_factory=dict)

    def row(
        self, method: str, schedule: Schedule, calls: int = 0, seconds: float = 0.0, name: str = ""
    ) -> dict[str, Any]:
        """Errors of a schedule: RMSE ± its standard error, median and 95th percentile over noises, Fréchet distance."""
        noise, ends = self.evaluator.pairs(self.noises, TRUTH)
        samples = fewstep.sample(self.evaluator.under(self.noises), schedule, noise)
        errors = (samples - ends).double().square().flatten(1).mean(1).numpy()
        rmse = float(np.sqrt(errors.mean()))
        return {
            "method": method,
            "name": name,
            "rmse": rmse,
            "standard_error": float(errors.std() / np.sqrt(len(errors)) / (2 * rmse)),
            "median": float(np.sqrt(np.median(errors))),
            "p95": float(np.sqrt(np.quantile(errors, 0.95))),
            "frechet": between(self._features(samples), self._features(ends)),
            "calls": calls,
            "seconds": round(seconds, 1),
        }

    @torch.no_grad()
    def _features(self, images: torch.Tensor) -> torch.Tensor:
        return features.load().features(images) if self.digits else images.flatten(1)

    def baseline(self, nfe: int) -> tuple[str, Schedule]:
        """Name and schedule of the best baseline."""
        if nfe not in self.best_baselines:
            self.best_baselines[nfe] = self.best(baselines(self.evaluator.denoiser.process, nfe))
        return self.best_baselines[nfe]

    def best(self, schedules: dict[str, Schedule]) -> tuple[str, Schedule]:
        """The name and schedule of lowest error. Halving is by the mean distance, which few noises tell."""
        stayed = list(schedules)
        for count, most in ROUNDS:
            few = NoiseSet(SEED, SPLIT, count)
            stayed = sorted(stayed, key=lambda name: np.sqrt(self._errors(schedules[name], few)).mean())[:most]
        name = min(stayed, key=lambda name: self._errors(schedules[name], self.noises).mean())
        return name, schedules[name]

    def _errors(self, schedule: Schedule, noises: NoiseSet) -> np.ndarray:
        return np.asarray(np.nan_to_num(evaluate.measure(self.evaluator, noises, schedule), nan=np.inf))


def load(model: str) -> tuple[Denoiser, tuple[int, ...]]:
    """A model of the benchmark and its shape."""
    if model == "patches":
        return patches.mixture(), patches.SHAPE
    return models.zoo.load(model), models.zoo.describe(model).shape


def compare(model: str, nfe: int, budget: int, most: int | None, judge: Judge) -> list[dict[str, Any]]:
    """All rows of one model and number of calls."""
    process, shape = judge.evaluator.denoiser.process, judge.evaluator.shape
    solvers = baselines(process, nfe)
    name, best = judge.baseline(nfe)
    rows = [judge.row("baseline", best, name=name)]
    name, best = judge.best({n: s for n, s in solvers.items() if n.startswith("ddim ")})
    rows.append(judge.row("ddim", best, name=name))
    arc = arc_length(judge.evaluator, NoiseSet(0, SEARCH, SAMPLES))
    name, best = judge.best(dict(along(arc, nfe, dict.fromkeys(each.split()[0] for each in solvers))))
    rows.append(judge.row("score-optimal grid", best, arc.calls, name=name))
    name, best = judge.baseline(2 * nfe)
    rows.append(judge.row("baseline at twice the calls", best, name=name))

    counted, began = CallCounter(load(model)[0]), time.monotonic()
    problem = Problem(model, nfe, budget=budget, limits=Limits(calls=most))
    evaluator, train = Evaluator(counted, shape), NoiseSplit.of(problem).train
    followed, space = evaluate.follow(evaluator, train), Space(process, nfe)
    grid = "quadratic" if "quadratic" in grids.suitable(process) else grids.suitable(process)[0]
    start = Schedule(process, grids.named(grid)(process, nfe), (Step(),) * nfe)
    placed = space.build(replay.place(followed, space.logits(start)[None])[0], [Step(order=3)] * nfe)
    fitted = fit(evaluator, train, followed, placed).schedule
    rows.append(judge.row("replay + fit", fitted, counted.calls[0], time.monotonic() - began))

    counted, began, marks, trials = CallCounter(load(model)[0]), time.monotonic(), {}, []

    def record(trial: Trial) -> None:
        trials.append(trial)
        marks[TITLES.get(trial.origin.stage, "search")] = counted.calls[0], time.monotonic() - began

    pool = InlinePool(Evaluator(counted, shape))
    result = run(problem, process, pool, predictor.ranker, on=Callbacks(trial=record))
    for title in ("search", *TITLES.values()):
        scored = [t for t in trials if t.score and TITLES.get(t.origin.stage, "search") == title]
        if scored:
            winner = min(scored, key=lambda t: t.score.value if t.score else np.inf)
            rows.append(
                judge.row(title, winner.schedule, *marks[title], str(winner.origin) if title == "search" else "")
            )
    rows.append(judge.row("published", result.schedule, counted.calls[0], time.monotonic() - began))
    return [{"model": model, "nfe": nfe, **row} for row in rows]


def main(
    model: Annotated[list[str] | None, typer.Option(help="Models; all by default.")] = None,
    nfe: Annotated[list[int] | None, typer.Option(help="Numbers of calls; all by default.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="512 test noises, 80 evaluations.")] = False,
    budget: Annotated[int, typer.Option(help="Evaluations of a search.")] = 400,
    spend: Annotated[int, typer.Option("--calls", help="Passes of a search, 0 for no limit.")] = CALLS,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = REPORT,
) -> None:
    """Measure the stages of a search."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    stored = out / "quality.json"
    console = Console(width=160)
    for name in model or MODELS:
        denoiser, shape = load(name)
        noises = NoiseSet(SEED, SPLIT, 512 if quick else TEST_NOISES * (4 if name == "digits-mixture" else 1))
        judge = Judge(Evaluator(denoiser, shape, name), noises, name.startswith("digits"))
        for calls in nfe or NFES:
            rows = compare(name, calls, 80 if quick else budget, spend or None, judge)
            with FileLock(f"{stored}.lock"):
                others = quality_report.read(stored) if stored.exists() else []
                every = [row for row in others if (row["model"], row["nfe"]) != (name, calls)] + rows
                every.sort(key=lambda r: (MODELS.index(r["model"]), r["nfe"]))
                stored.write_text("[\n" + ",\n".join(map(json.dumps, every)) + "\n]\n")
                (out / "quality.md").write_text(f"{quality_report.summary(every)}\n{quality_report.table(every)}")
                quality_report.plot(every, out / "quality.png")
                if out == REPORT:
                    pages.quote("quality", quality_report.summary(every), *quality_report.PAGES)
            console.print(quality_report.table(rows))


if __name__ == "__main__":
    typer.run(main)
