"""How well the predictor ranks schedules that it has not seen: Kendall's τ by number of trials, on the digits mixture.

``python -m benchmarks.predictor [--quick] [--out FILE]`` writes JSON: ``unseen``, random schedules ranked with each
kind of knowledge after 0 to 200 trials; ``repeatability``, τ between two measurements of the same schedules on
different noises, which no forecast can pass; ``speed``, seconds of one question of a search; ``guided``, whole searches
with replay alone and with the predictor.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from scipy.stats import kendalltau

import predictor
from fewstep import Schedule, grids, models, sample, solvers
from fewstep.problem import Problem, Score, Trial
from fewstep.trajectory import Trajectories
from predictor.dataset import KNOWLEDGE
from predictor.report import coverage
from predictor.train import log_score
from search import proposals, teacher
from search.evaluate import Evaluator
from search.pool.base import InlinePool
from search.ranking import RankFactory, by_replay
from search.run import run
from search.space import Space

MODEL = "digits-mixture"
NFES = (6, 8)
TRIALS = (0, 25, 50, 100, 200)
GRID_WIDTH = 0.5  # standard deviation of the log λ-gaps round a named grid
FOLLOWED, NOISES, TEACHER_CALLS = 24, 128, 200
GUIDED_BUDGET = 200


def draw(space: Space, count: int, seed: int) -> list[Schedule]:
    """Random schedules: every choice uniform, times scattered round the named grids in turn."""
    rng, solver = np.random.default_rng(seed), solvers.named("ddim")
    centres = [space.logits(solver.schedule(space.process, space.nfe, grid)) for grid in grids.names()]
    return [
        space.build(
            centres[i % len(centres)] + rng.normal(0, GRID_WIDTH, space.nfe),
            list(proposals.uniform(space, rng).steps),
        )
        for i in range(count)
    ]


def measure(schedules: Sequence[Schedule], seed: int) -> list[Trial]:
    """A trial of each schedule: root mean square distance to the teacher's ends, on noises of that seed."""
    denoiser, shape = models.zoo.load(MODEL), models.zoo.describe(MODEL).shape
    noise = torch.randn(NOISES, *shape, generator=torch.Generator().manual_seed(seed))
    ends = teacher.ends(denoiser, noise.double(), TEACHER_CALLS)
    trials = []
    for i, schedule in enumerate(schedules):
        squares = (sample(denoiser, schedule, noise) - ends).square()
        score = Score(float(squares.mean().sqrt()), 0.0, NOISES, NOISES * schedule.nfe)
        trials.append(Trial(i, schedule, score, "random"))
    return trials


def trajectories(seed: int) -> Trajectories:
    """The teacher's trajectories in double precision, on noises of that seed."""
    shape = models.zoo.describe(MODEL).shape
    noise = torch.randn(FOLLOWED, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return teacher.follow(models.zoo.load(MODEL), noise)


def unseen(nfe: int, unknown: int, splits: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of τ on ``unknown`` schedules for each knowledge and number of trials; the repeatability of the scores."""
    space = Space(models.zoo.load(MODEL).process, nfe)
    trials = measure(draw(space, unknown + max(TRIALS), seed=nfe), seed=1)
    rows = []
    for knowledge in KNOWLEDGE:
        rank = predictor.ranker(trajectories(seed=2), knowledge=knowledge)
        for count in TRIALS[knowledge == "tableau" :]:  # a tableau alone says nothing before the first trial
            rows.append({"nfe": nfe, "knowledge": knowledge, "trials": count, **judge(rank, trials, count, splits)})
    again = measure([trial.schedule for trial in trials[:unknown]], seed=3)
    pair = [[log_score(trial) for trial in part] for part in (trials[:unknown], again)]
    best = np.argsort(pair[0])[: unknown // 4]
    quarter = float(kendalltau(*np.array(pair)[:, best]).statistic)
    return rows, {"nfe": nfe, "tau": float(kendalltau(*pair).statistic), "tau_best_quarter": quarter}


def judge(rank: Any, trials: Sequence[Trial], count: int, splits: int) -> dict[str, float]:
    """Means over random splits of τ, of all unseen and of their best quarter, of coverage, and of how many of the
    best ten are among the 25 ranked first; the lowest τ."""
    taus, quarters, covers, recalls = [], [], [], []
    for split in range(splits):
        order = np.random.default_rng(split).permutation(len(trials))
        known, unknown = [trials[i] for i in order[:count]], [trials[i] for i in order[max(TRIALS) :]]
        mean, std = rank(known, [trial.schedule for trial in unknown])
        truth = np.array([log_score(trial) for trial in unknown])
        best = np.argsort(truth)[: len(truth) // 4]
        taus.append(kendalltau(mean, truth).statistic)
        quarters.append(kendalltau(mean[best], truth[best]).statistic)
        covers.append(coverage(mean, std, truth))
        recalls.append(len(set(best[:10]) & set(np.argsort(mean)[:25])) / 10)
    names = ("tau", "tau_best_quarter", "coverage_of_80_percent", "recall_of_10_in_25")
    means = {
        name: float(np.mean(values)) for name, values in zip(names, (taus, quarters, covers, recalls), strict=True)
    }
    return {**means, "tau_lowest": float(min(taus))}


def speed(nfe: int, trials: int = 400, candidates: int = 400) -> dict[str, Any]:
    """Seconds to fit to trials that are known and forecast candidates that are new, as in each generation."""
    space = Space(models.zoo.load(MODEL).process, nfe)
    rank = predictor.ranker(trajectories(seed=2))
    schedules = draw(space, trials, seed=4)
    values = np.exp(rank([], schedules).mean + np.random.default_rng(5).normal(0, 0.2, trials))
    known = [
        Trial(i, s, Score(float(v), 0.0, NOISES, 0), "") for i, (s, v) in enumerate(zip(schedules, values, strict=True))
    ]
    new = draw(space, candidates, seed=6)
    began = time.perf_counter()
    rank(known, new)
    seconds = time.perf_counter() - began
    return {"nfe": nfe, "trials": trials, "candidates": candidates, "seconds": seconds}


def guided(nfe: int, name: str, factory: RankFactory, seed: int) -> dict[str, Any]:
    """A whole search: its best trial, on the noises it searched on, and τ of the forecasts it made on its way."""
    denoiser = models.zoo.load(MODEL)
    pool = InlinePool(Evaluator(denoiser, models.zoo.describe(MODEL).shape))
    trials: list[Trial] = []
    run(Problem(MODEL, nfe, budget=GUIDED_BUDGET, seed=seed), denoiser.process, pool, factory, trials.append)
    scored = [trial for trial in trials if trial.score is not None and trial.origin != "fit"]  # what the rank chose
    made = [trial for trial in scored if trial.predicted is not None]
    means, stds = np.array([[t.predicted, t.predicted_std] for t in made], dtype=float).T
    return {
        "nfe": nfe,
        "rank": name,
        "seed": seed,
        "best": float(np.exp(min(log_score(t) for t in scored))),
        "best_hand_made": float(np.exp(min(log_score(t) for t in scored if t.origin.startswith("baseline")))),
        "tau": predictor.kendall_tau(trials),
        "coverage_of_80_percent": coverage(means, stds, np.array([log_score(t) for t in made])),
    }


def main(
    quick: Annotated[bool, typer.Option("--quick", help="One NFE, one split, no searches: half a minute.")] = False,
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path("var/benchmarks/predictor.json"),
) -> None:
    """Measure the predictor."""
    torch.set_num_threads(1)
    report: dict[str, list[dict[str, Any]]] = {"unseen": [], "repeatability": [], "speed": [], "guided": []}
    for nfe in NFES[:1] if quick else NFES:
        rows, repeatability = unseen(nfe, 200 if quick else 300, splits=1 if quick else 5)
        report["unseen"] += rows
        report["repeatability"].append(repeatability)
        report["speed"].append(speed(nfe))
        for seed in () if quick else (0, 1):
            for name, factory in (("replay", by_replay), ("predictor", predictor.ranker)):
                report["guided"].append(guided(nfe, name, factory, seed))
    for name, rows in report.items():
        for row in rows:
            cells = (
                f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
            )
            typer.echo(f"{name}: {', '.join(cells)}")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2) + "\n")
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
