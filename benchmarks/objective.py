"""Which summary of few noises' errors to choose schedules by: the evidence for the default objective.

``python -m benchmarks.objective [--model NAME]… [--nfe N]…`` writes ``objective.json`` and ``objective.md``. Forty
named solvers on their grids are measured on thousands of noises. Then a few of these noises are drawn, again and
again, and the schedule with the lowest summary on the few is picked. What a pick is worth is measured on all: its
feature Fréchet distance, its typical error and its RMS, each over the lowest of the forty. A summary also wants little
spread, so that few noises tell two schedules apart: the relative standard error at 64 noises, and Kendall's τ between
its order on few and on all.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from scipy.stats import kendalltau, rankdata

import fewstep
from benchmarks.quality import MODELS, NFES, REPORT, SEED, SPLIT, TRUTH, load
from fewstep.models import features
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.metrics.base import Metric
from fewstep.search.metrics.frechet import Frechet
from fewstep.search.metrics.paired import RMS, Mean, Typical
from fewstep.search.stages.baselines import baselines

SCHEDULES = 40
SCREEN = 32  # noises on which the forty are taken from all baselines, by their mean distance
NOISES, MIXTURE_NOISES = 1024, 2048
FEW = (16, 32, 64)
DRAWS = 20
TRIMMED = 0.05

Errors = np.ndarray
"""Squared errors (S, n) of S schedules on n noises."""


def trimmed(errors: Errors) -> np.ndarray:
    """Root mean square without the worst 5 %."""
    most = errors.shape[1] - int(np.ceil(TRIMMED * errors.shape[1]))
    values: np.ndarray = np.sqrt(np.sort(errors, axis=1)[:, :most].mean(1))
    return values


def by(metric: Metric, errors: Errors) -> np.ndarray:
    """The values (S,) of a search's own metric."""
    return np.array([metric.value(row[:, None]) for row in errors])


def typical(errors: Errors) -> np.ndarray:
    """Geometric mean of the distances."""
    return by(Typical(), errors)


def rms(errors: Errors) -> np.ndarray:
    """Root mean square."""
    return by(RMS(), errors)


def saturating(errors: Errors) -> np.ndarray:
    """mean log(1 + e²/c²), c the median of all these errors."""
    values: np.ndarray = np.log1p(errors / np.median(errors)).mean(1)
    return values


def ranks(*values: np.ndarray) -> np.ndarray:
    """Mean rank by several summaries; their product breaks ties."""
    mean: np.ndarray = np.mean([rankdata(each) for each in values], axis=0)
    ties: np.ndarray = rankdata(np.prod(values, axis=0))
    return mean + 1e-9 * ties


SUMMARIES: Mapping[str, Callable[[Errors, np.ndarray], np.ndarray]] = {
    "RMS": lambda errors, distances: rms(errors),
    "mean": lambda errors, distances: by(Mean(), errors),
    "trimmed RMS": lambda errors, distances: trimmed(errors),
    "saturating": lambda errors, distances: saturating(errors),
    "typical": lambda errors, distances: typical(errors),
    "median": lambda errors, distances: np.sqrt(np.median(errors, axis=1)),
    "Fréchet": lambda errors, distances: distances,
    "√(typical · RMS)": lambda errors, distances: np.sqrt(typical(errors) * rms(errors)),
    "√(typical · trimmed)": lambda errors, distances: np.sqrt(typical(errors) * trimmed(errors)),
    "ranks: typical, Fréchet": lambda errors, distances: ranks(typical(errors), distances),
    "ranks: typical, RMS": lambda errors, distances: ranks(typical(errors), rms(errors)),
}
"""``summary(squared errors (S, n), coupled Fréchet distances in pixels (S,)) -> (S,)``; less is better."""


def measured(model: str, nfe: int) -> tuple[Errors, np.ndarray, np.ndarray, np.ndarray]:
    """Squared errors (S, n), pixels (S, n, d) and features (S, n, F) of the forty, and the ends' in one more row."""
    denoiser, shape = load(model)
    evaluator = Evaluator(denoiser, shape, model)
    noises = NoiseSet(SEED, SPLIT, MIXTURE_NOISES if model == "digits-mixture" else NOISES)
    noise, ends = evaluator.pairs(noises, TRUTH)
    few = NoiseSet(SEED, SPLIT, SCREEN)
    schedules = baselines(denoiser.process, nfe)
    scores = {}
    for name, schedule in schedules.items():
        errors = np.nan_to_num(evaluate.measure(evaluator, few, schedule), nan=np.inf)
        scores[name] = np.sqrt(errors).mean()
    names = sorted(scores, key=lambda name: scores[name])[:SCHEDULES]
    samples = [fewstep.sample(evaluator.under(noises), schedules[name], noise) for name in names]
    errors = np.stack([(each - ends).double().square().flatten(1).mean(1).numpy() for each in samples])
    keep = np.isfinite(errors).all(1)
    images = [each for each, good in zip(samples, keep, strict=True) if good]

    def seen(images: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            rows = features.load().features(images) if model.startswith("digits") else images.flatten(1)
        return rows.double().numpy()

    pixels = np.stack([each.flatten(1).double().numpy() for each in (*images, ends)])
    return errors[keep], pixels, np.stack([seen(each) for each in images]), seen(ends)


def distances(rows: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Coupled Fréchet distances (S,) of features (S, n, F) to the ends' (n, F)."""
    return np.array([Frechet().value(np.hstack([each, ends])) for each in rows])


def judge(model: str, nfe: int) -> list[dict[str, Any]]:
    """A row for each summary: what its picks are worth, how steady it is."""
    errors, pixels, rows, ends = measured(model, nfe)
    truth = {"frechet": distances(rows, ends), "typical": typical(errors), "rms": rms(errors)}
    on_all = {name: summary(errors, distances(pixels[:-1], pixels[-1])) for name, summary in SUMMARIES.items()}
    result: dict[str, dict[str, Any]] = {name: {"model": model, "nfe": nfe, "summary": name} for name in SUMMARIES}
    for few in FEW:
        taus: dict[str, list[float]] = {name: [] for name in SUMMARIES}
        worth: dict[tuple[str, str], list[float]] = {(name, by): [] for name in SUMMARIES for by in truth}
        values: dict[str, list[np.ndarray]] = {name: [] for name in SUMMARIES}
        for draw in range(DRAWS):
            picks = np.random.default_rng([few, draw]).choice(errors.shape[1], few, replace=False)
            near = distances(pixels[:-1, picks], pixels[-1, picks])
            for name, summary in SUMMARIES.items():
                value = summary(errors[:, picks], near)
                values[name].append(value)
                taus[name].append(kendalltau(value, on_all[name]).statistic)
                best = int(np.argmin(value))
                for by, true in truth.items():
                    worth[name, by].append(float(true[best] / true.min()))
        for name in SUMMARIES:
            drawn = np.stack(values[name])
            spread = float(np.median(drawn.std(0, ddof=1) / np.abs(drawn.mean(0))))
            result[name] |= {f"tau {few}": float(np.mean(taus[name])), f"spread {few}": spread}
            for by in truth:
                result[name][f"{by} {few}"] = float(np.exp(np.mean(np.log(worth[name, by]))))
    return list(result.values())


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: for each summary the worst and the mean over models and calls."""
    lines = [
        "| summary | picks' feature Fréchet over the best: worst, mean (16 · 32 · 64 noises) | typical error "
        "(worst at 32) | RMS (worst at 32) | τ at 16, 64 | spread at 64 |",
        "|---|---|---|---|---|---|",
    ]
    for name in SUMMARIES:
        mine = [row for row in rows if row["summary"] == name]

        def worst(key: str, mine: list[dict[str, Any]] = mine) -> float:
            by_model: dict[str, list[float]] = {}
            for row in mine:
                by_model.setdefault(row["model"], []).append(np.log(row[key]))
            return float(np.exp(max(np.mean(each) for each in by_model.values())))

        def mean(key: str, mine: list[dict[str, Any]] = mine) -> float:
            return float(np.exp(np.mean([np.log(row[key]) for row in mine])))

        picks = " · ".join(f"{worst(f'frechet {n}'):.2f}, {mean(f'frechet {n}'):.2f}" for n in FEW)
        taus = ", ".join(f"{np.mean([row[f'tau {n}'] for row in mine]):.2f}" for n in (16, 64))
        spread = np.median([row["spread 64"] for row in mine])
        lines.append(
            f"| {name} | {picks} | {worst('typical 32'):.2f} | {worst('rms 32'):.2f} | {taus} | {spread:.3f} |"
        )
    return "\n".join(lines) + "\n"


def main(
    model: Annotated[list[str] | None, typer.Option(help="Models; all by default.")] = None,
    nfe: Annotated[list[int] | None, typer.Option(help="Numbers of calls; all by default.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = REPORT,
) -> None:
    """Judge summaries by what their picks are worth."""
    torch.set_num_threads(1)
    stored = out / "objective.json"
    rows = json.loads(stored.read_text()) if stored.exists() else []
    for name in model or MODELS:
        for calls in nfe or NFES:
            rows = [row for row in rows if (row["model"], row["nfe"]) != (name, calls)] + judge(name, calls)
            out.mkdir(parents=True, exist_ok=True)
            stored.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
            (out / "objective.md").write_text(table(rows))
            print(name, calls, flush=True)
    print(table(rows))


if __name__ == "__main__":
    typer.run(main)
