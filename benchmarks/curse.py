"""Coverage of the published interval: every winner's 95 % interval against its error on many fresh noises.

``python -m benchmarks.curse [--model NAME]… [--nfe N]… [--seeds N] [--quick]`` runs whole searches and writes
``curse.json``: for each the winner's published score with its 95 % interval, its score as a trial, on the search
noises, and its error on 8192 fresh noises (4096 of the U-Net), the same for all searches of a model.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console

from benchmarks.contest import evaluator_of
from fewstep import predictor
from fewstep.search.engine import run
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.log import Callbacks
from fewstep.values.problem import Problem
from fewstep.values.score import Interval
from fewstep.values.trial import Trial

FRESH = {"digits-mixture": 8192, "digits-unet": 4096}  # noises: their sampling error is small beside that of 512
NFES = (5, 8)
BUDGET = 64
CHUNK = 1024  # noises at a time


def measure(model: str, nfe: int, seed: int) -> dict[str, Any]:
    """One search, and what its winner does on fresh noises."""
    evaluator, trials = evaluator_of(model), list[Trial]()
    problem = Problem(model, nfe, budget=BUDGET, seed=seed)
    result = run(
        problem, evaluator.denoiser.process, InlinePool(evaluator), predictor.ranker, on=Callbacks(trial=trials.append)
    )
    fresh = NoiseSet(0, "fresh", FRESH[model]).chunks(CHUNK)
    errors = np.concatenate([evaluate.measure(evaluator, chunk, result.schedule) for chunk in fresh])
    scores = [t.score.value for t in trials if t.schedule == result.schedule and t.score is not None]
    true = float(np.sqrt(errors.mean()))
    interval = result.winner.interval or Interval(0.0, 0.0)
    low, high = interval.low, interval.high
    return {
        "model": model,
        "nfe": nfe,
        "seed": seed,
        "published": result.score.value,
        "low": low,
        "high": high,
        "as_trial": min(scores, default=None),
        "true": true,
        "inside": low <= true <= high,
    }


def main(
    model: Annotated[list[str] | None, typer.Option(help="Models; by default both.")] = None,
    nfe: Annotated[list[int] | None, typer.Option(help="Network calls per sample.")] = None,
    seeds: Annotated[int, typer.Option(help="Searches of each model and number of calls.")] = 8,
    quick: Annotated[bool, typer.Option("--quick", help="The mixture, 5 calls, two seeds.")] = False,
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path("docs/benchmarks/curse.json"),
) -> None:
    """Run the searches that are missing, and say how often the stated interval holds the true error."""
    torch.set_num_threads(1)
    console = Console()
    if quick:
        model, nfe, seeds = ["digits-mixture"], [5], 2
    rows: list[dict[str, Any]] = json.loads(out.read_text()) if out.exists() else []
    done = {(row["model"], row["nfe"], row["seed"]) for row in rows}
    out.parent.mkdir(parents=True, exist_ok=True)
    for key in [(m, n, s) for m in model or FRESH for n in nfe or NFES for s in range(seeds)]:
        if key not in done:
            rows.append(measure(*key))
            out.write_text(json.dumps(rows, indent=1) + "\n")
            console.print(rows[-1])
    for m in dict.fromkeys(row["model"] for row in rows):
        cells = [row for row in rows if row["model"] == m]
        biased = [row["as_trial"] / row["true"] for row in cells if row["as_trial"]]
        console.print(
            f"{m}: {sum(row['inside'] for row in cells)} of {len(cells)} intervals hold the true error; published/true "
            f"{np.mean([row['published'] / row['true'] for row in cells]):.2f}, as a trial {np.mean(biased):.2f}"
        )


if __name__ == "__main__":
    typer.run(main)
