"""How often the published interval of the ratio holds: quick searches against many fresh noises.

``python -m benchmarks.coverage [--seeds N] [--nfe N]`` runs quick searches of `digits-mixture`, a seed each, and
compares winner and baseline of each once more on 4096 noises that it never used, against a teacher of 120 calls. It
writes ``coverage.json``, a row for each search; those that are there are not run again. ``coverage.md`` says how many
of the stated 95 % intervals hold the ratio there.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from filelock import FileLock
from rich.console import Console
from scipy.stats import binomtest

from benchmarks.quality import CACHE, REPORT, Judge, judge_of
from fewstep.search.find import find

MODEL, NFE, EFFORT = "digits-mixture", 6, "quick"
SEARCHES, FRESH = 64, 4096

Rows = list[dict[str, Any]]

HEAD = f"""# Coverage of the published interval

`python -m benchmarks.coverage` runs quick searches of `digits-mixture`, each with its own seed, and measures winner and
baseline of each again on {FRESH} noises that no search used. A search publishes the ratio of their errors, by the
objective that it lowers, on its test noises, with a 95 % interval; *holds* counts the searches whose interval contains
the ratio on the fresh noises, and *share* has Wilson's 95 % interval. *Half-width* is the median of half the interval;
*bias* the geometric mean of the published over the fresh ratio. *Nothing better* counts the searches that published the
baseline. Every search is in [coverage.json](coverage.json).

| calls | searches | test noises | holds | share | bias | half-width | nothing better |
|---|---|---|---|---|---|---|---|"""


def measure(judge: Judge, nfe: int, seed: int, effort: str = EFFORT) -> dict[str, Any]:
    """One search, and the ratio of its winner and its baseline on the judge's noises."""
    evaluator = judge.evaluator
    result = find(evaluator.denoiser, nfe, evaluator.shape, effort=effort, seed=seed)
    objective = result.problem.objective
    winner, baseline = (judge.score(each.schedule, objective) for each in (result.winner, result.baseline))
    low, high, true = result.ratio_interval.low, result.ratio_interval.high, winner / baseline
    return {
        "nfe": nfe,
        "seed": seed,
        "metric": str(objective),
        "ratio": result.ratio,
        "low": low,
        "high": high,
        "true": true,
        "holds": bool(low <= true <= high),
        "noises": result.score.noises,
        "verdict": result.verdict,
    }


def page(rows: Rows) -> str:
    """The page: what was run, a table with a line for each NFE."""
    lines = [HEAD]
    for nfe in sorted({row["nfe"] for row in rows}):
        group = [row for row in rows if row["nfe"] == nfe]
        held = sum(row["holds"] for row in group)
        share = binomtest(held, len(group)).proportion_ci(method="wilson")
        bias = np.exp(np.mean([np.log(row["ratio"] / row["true"]) for row in group]))
        width = np.median([(row["high"] - row["low"]) / 2 for row in group])
        noises = ", ".join(map(str, sorted({row["noises"] for row in group})))
        kept = sum(row["verdict"] is not None for row in group)
        lines.append(
            f"| {nfe} | {len(group)} | {noises} | {held} | {held / len(group):.2f} ({share.low:.2f}–{share.high:.2f}) "
            f"| {bias:.3f} | {width:.3f} | {kept} |"
        )
    return "\n".join(lines) + "\n"


def main(
    seeds: Annotated[int, typer.Option(help="Searches, one for each seed from 0 on.")] = SEARCHES,
    nfe: Annotated[int, typer.Option(help="Network calls per sample.")] = NFE,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = REPORT,
) -> None:
    """Run the searches that are missing."""
    torch.set_num_threads(1)
    for folder in (out, CACHE):
        folder.mkdir(parents=True, exist_ok=True)
    console, stored = Console(), out / "coverage.json"
    judge = judge_of(MODEL, FRESH, cache=CACHE)
    for seed in range(seeds):
        rows: Rows = json.loads(stored.read_text()) if stored.exists() else []
        if any((row["nfe"], row["seed"]) == (nfe, seed) for row in rows):
            continue
        row = measure(judge, nfe, seed)
        with FileLock(f"{stored}.lock"):
            rows = [*(json.loads(stored.read_text()) if stored.exists() else []), row]
            rows.sort(key=lambda r: (r["nfe"], r["seed"]))
            stored.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
            (out / "coverage.md").write_text(page(rows))
        console.print(seed, f"{row['ratio']:.3f} ({row['low']:.3f}–{row['high']:.3f}), fresh {row['true']:.3f}")


if __name__ == "__main__":
    typer.run(main)
