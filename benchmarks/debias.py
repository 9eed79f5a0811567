"""Effect of the debiased loss weight: the same network, seed and budget under each weight, on the digits.

``python -m benchmarks.debias [--quick] [--out FILE]`` writes JSON: ``mlp``, dense noise networks trained here under
each weight of `training.losses`; ``unet``, the zoo's U-Nets, trained under "constant" and "debiased". Rows carry the
mean squared error of the data estimate on test digits by time, and the ratio of the samples' pixel variance to the
data's with 10 and 20 steps of DDIM, nothing clamped. ``gates`` compares "debiased" with "constant".
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from fewstep import models
from fewstep.models.base import Denoiser
from fewstep.processes import Discrete
from fewstep.timeshift import pixel_variance
from training import networks
from training.data import split
from training.losses import WEIGHTS, Denoising
from training.report import data_errors, draw
from training.train import Settings, train

PROCESS = Discrete.linear_betas()
TIMES = (20, 100, 300, 500, 700, 900, 990)
CALLS = (10, 20)
SAMPLES = 1024
BUDGET = Settings(iterations=3000, rate=1e-3, decay=0.99)
UNETS = {"constant": "digits-unet", "debiased": "digits-unet-debiased"}


def measure(denoiser: Denoiser) -> dict[str, Any]:
    """Errors of the data estimate by time, and ratios of the pixel variance by number of calls."""
    train_set, test = split()
    variance = pixel_variance(torch.cat([train_set.images, test.images]))
    samples = {n: draw(denoiser, (SAMPLES, 1, 8, 8), "ddim", n, grid="time") for n in CALLS}
    return {
        "errors": dict(zip(map(str, TIMES), data_errors(denoiser, test.images, TIMES), strict=True)),
        "variance_ratio": {str(n): pixel_variance(images) / variance for n, images in samples.items()},
    }


def trained(weight: str, settings: Settings) -> dict[str, Any]:
    """A dense network trained under ``weight``, measured."""
    network = train(networks.MLP, Denoising(PROCESS, weight=weight), split()[0], settings)
    return measure(models.from_callable(network, PROCESS, "noise"))


def gates(constant: dict[str, Any], debiased: dict[str, Any]) -> dict[str, float]:
    """How many times lower the error is at t >= 900, and the share of the excess variance that is left; worst cases."""
    late = [str(t) for t in TIMES if t >= 900]
    excess = [[abs(row["variance_ratio"][str(n)] - 1) for n in CALLS] for row in (constant, debiased)]
    return {
        "error_times_lower": min(constant["errors"][t] / debiased["errors"][t] for t in late),
        "excess_variance_left": max(after / before for before, after in zip(*excess, strict=True)),
    }


def table(title: str, rows: list[dict[str, Any]]) -> Table:
    """The rows as people read them."""
    page = Table(
        "weight", "seed", *(f"MSE t={t}" for t in TIMES), *(f"variance, {n} steps" for n in CALLS), title=title
    )
    for row in rows:
        numbers = [*row["errors"].values(), *row["variance_ratio"].values()]
        page.add_row(row["weight"], str(row["seed"]), *(f"{number:.3g}" for number in numbers))
    return page


def main(
    quick: Annotated[bool, typer.Option("--quick", help="One seed, the two weights of the gates.")] = False,
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path("var/benchmarks/debias.json"),
) -> None:
    """Measure loss weights."""
    torch.set_num_threads(1)
    report: dict[str, Any] = {"mlp": [], "unet": [], "gates": []}
    for seed in (0,) if quick else (0, 1):
        settings = replace(BUDGET, seed=seed)
        for weight in UNETS if quick else WEIGHTS:
            report["mlp"].append({"weight": weight, "seed": seed, **trained(weight, settings)})
    for weight, name in UNETS.items():
        report["unet"].append({"weight": weight, "seed": 0, **measure(models.zoo.load(name))})
    console = Console(width=140)
    for kind in ("mlp", "unet"):
        console.print(table(kind, report[kind]))
        for seed in sorted({row["seed"] for row in report[kind]}):
            rows = {row["weight"]: row for row in report[kind] if row["seed"] == seed}
            gate = {"network": kind, "seed": seed, **gates(rows["constant"], rows["debiased"])}
            report["gates"].append(gate)
            console.print(
                f"{kind}, seed {seed}: at t >= 900 the error is {gate['error_times_lower']:.1f} times lower; "
                f"{gate['excess_variance_left']:.2f} of the excess variance is left"
            )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
