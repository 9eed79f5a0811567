"""Ranking quality of the predictor on test schedules: Kendall's τ by number of trials, on models of digits.

``python -m benchmarks.predictor [--quick] [--out FILE]`` writes JSON: ``unseen``, random schedules ranked with each
feature set after 0 to 200 trials; ``repeatability``, τ between two measurements of the same schedules on
different noises, which no forecast can pass; ``warm``, what trials at another NFE and records of another
model add (`benchmarks.warm`); ``speed``, seconds of one question of a search; ``fresh``, CPU seconds to make and rank
10 000 proposals; ``guided``, whole searches with replay alone and with the predictor. docs/evidence.md quotes the
first, docs/predictor.md the third.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from scipy.stats import kendalltau

from benchmarks import pages, predictor_report
from benchmarks.judge import MOST_TRAINING, judge
from benchmarks.trials import NOISES, draw, measure, trajectories, trials
from benchmarks.warm import warm
from fewstep import models, predictor
from fewstep.predictor.dataset import FEATURE_SETS
from fewstep.predictor.report import coverage
from fewstep.predictor.train import log_score
from fewstep.search.engine import run
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.log import Callbacks
from fewstep.search.samplers import operators as proposals
from fewstep.search.samplers.ranking import by_replay
from fewstep.search.space import Space
from fewstep.values.origin import Origin
from fewstep.values.problem import Problem
from fewstep.values.rankers import RankFactory
from fewstep.values.score import Score
from fewstep.values.stages import STAGES
from fewstep.values.trial import Candidate, Trial

NFES = (6, 8)  # of the searches and of the speed
TRIALS = (0, 25, 50, 100, 200)
CASES = (
    ("digits-mixture", 6, 300),
    ("digits-unet", 6, 250),
    ("digits-mixture", 8, 300),
)  # model, calls, test schedules
REPEATED = 100  # schedules
OTHER_NFE = 5  # of the searches that others learn from
SEARCHED = "digits-mixture"
GUIDED_BUDGET = 200
PARTS = ("unseen", "repeatability", "warm", "speed", "fresh", "guided")
REPORT = Path("docs/benchmarks/predictor.json")  # what is written there, pages quote


def ranking(model: str, nfe: int, test: int, splits: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of τ on ``test`` schedules for each feature set and number of trials; the repeatability of the scores."""
    drawn, about, rows = trials(model, nfe, test + MOST_TRAINING), {"model": model, "nfe": nfe}, []
    for features in FEATURE_SETS:
        rank = predictor.ranker(trajectories(model), features=features)
        for count in TRIALS[features == "tableau" :]:  # a tableau alone forecasts nothing before the first trial
            rows.append({**about, "knowledge": features, "trials": count, **judge(rank, drawn, count, splits)})
    again = measure(model, [trial.schedule for trial in drawn[:REPEATED]], seed=3)
    pair = [[log_score(trial) for trial in part] for part in (drawn[:REPEATED], again)]
    best = np.argsort(pair[0])[: REPEATED // 4]
    quarter = float(kendalltau(*np.array(pair)[:, best]).statistic)
    return rows, {**about, "tau": float(kendalltau(*pair).statistic), "tau_best_quarter": quarter}


def speed(nfe: int, count: int = 400) -> dict[str, Any]:
    """Seconds to fit to ``count`` trials and forecast as many new schedules, as in each generation."""
    space = Space(models.zoo.load(SEARCHED).process, nfe)
    rank = predictor.ranker(trajectories(SEARCHED))
    schedules = draw(space, count, seed=4)
    values = np.exp(rank([], schedules).mean + np.random.default_rng(5).normal(0, 0.2, count))
    fitted = [
        Trial(i, Candidate(s, Origin("guided")), Score(float(v), 0.0, NOISES, 0))
        for i, (s, v) in enumerate(zip(schedules, values, strict=True))
    ]
    new = draw(space, count, seed=6)
    began = time.perf_counter()
    rank(fitted, new)
    seconds = time.perf_counter() - began
    return {"nfe": nfe, "trials": count, "candidates": count, "seconds": seconds}


def fresh(nfe: int, count: int = 10_000, known: int = 200) -> dict[str, Any]:
    """CPU seconds to make ``count`` mutations of 16 parents, and to rank as many by ``known`` trials."""
    space, rng = Space(models.zoo.load(SEARCHED).process, nfe), np.random.default_rng(7)
    rank = predictor.ranker(trajectories(SEARCHED))
    schedules = proposals.uniforms(space, known, rng)
    values = np.exp(rank([], schedules).mean + rng.normal(0, 0.2, known))
    trials = [
        Trial(i, Candidate(s, Origin("guided")), Score(float(v), 0.0, NOISES, 0))
        for i, (s, v) in enumerate(zip(schedules, values, strict=True))
    ]
    rank(trials, schedules[:1])
    began = time.process_time()
    made = proposals.mutations(space, schedules[:16], rng.integers(16, size=count), rng)
    between = time.process_time()
    rank(trials, made)
    ranked = time.process_time()
    return {"nfe": nfe, "count": count, "seconds to make": between - began, "seconds to rank": ranked - between}


def guided(nfe: int, name: str, factory: RankFactory, seed: int) -> dict[str, Any]:
    """A whole search: its best trial, on the search noises, and τ of its forecasts."""
    denoiser = models.zoo.load(SEARCHED)
    pool = InlinePool(Evaluator(denoiser, models.zoo.describe(SEARCHED).shape))
    trials: list[Trial] = []
    problem, on = Problem(SEARCHED, nfe, budget=GUIDED_BUDGET, seed=seed), Callbacks(trial=trials.append)
    run(problem, denoiser.process, pool, factory, on=on)
    scored = [trial for trial in trials if trial.score is not None and not STAGES[trial.origin.stage].final]
    forecast = [trial for trial in scored if trial.predicted is not None]
    means, stds = np.array([[t.predicted, t.predicted_std] for t in forecast], dtype=float).T
    return {
        "nfe": nfe,
        "rank": name,
        "seed": seed,
        "best": float(np.exp(min(log_score(t) for t in scored))),
        "best_hand_made": float(np.exp(min(log_score(t) for t in scored if t.origin.stage == "baselines"))),
        "tau": predictor.kendall_tau(trials),
        "coverage_of_80_percent": coverage(means, stds, np.array([log_score(t) for t in forecast])),
    }


def main(
    quick: Annotated[bool, typer.Option("--quick", help="One NFE, one split, no searches: half a minute.")] = False,
    out: Annotated[Path, typer.Option(help="Where to write.")] = REPORT,
) -> None:
    """Measure the predictor."""
    torch.set_num_threads(1)
    report: dict[str, list[dict[str, Any]]] = {part: [] for part in PARTS}
    splits = 1 if quick else 5
    for model, nfe, test in CASES[:1] if quick else CASES:
        rows, repeatability = ranking(model, nfe, 200 if quick else test, splits)
        report["unseen"] += rows
        report["repeatability"].append(repeatability)
        if not quick:
            (other,) = {case[0] for case in CASES} - {model}
            report["warm"] += warm(model, nfe, OTHER_NFE, other, test, splits)
    for nfe in NFES[:1] if quick else NFES:
        report["speed"].append(speed(nfe))
        report["fresh"].append(fresh(nfe))
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
    out.write_text(json.dumps(report, indent=1) + "\n")
    if out == REPORT and not quick:
        for name, (table, page) in predictor_report.QUOTED.items():
            pages.quote(name, table(report), page)
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
