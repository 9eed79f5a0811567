"""Sample quality of the zoo's models of digits, with pictures.

``python -m benchmarks.zoo [--quick] [--pictures FOLDER] [--out FILE]`` writes JSON, a row for every model: ``frechet``,
the Fréchet distance of 1500 samples to the 1500 training digits in the space of `digits-features`, and ``frechet_297``,
that of the first 297, as many as the test digits; ``confidence``, that classifier's mean probability of the class it
names; ``asked``, for models of classes, the share of samples of the class that was asked for; ``nearest``, the mean
distance of a sample to its nearest training digit. The row "test digits" measures digits that no network was trained
on. Samples are those of 50 calls of DPM-Solver++ 2M.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from fewstep import grids
from fewstep.cli import picture
from fewstep.models import Denoiser, features, zoo
from fewstep.search.metrics.frechet import between
from training.classifier import accuracy
from training.data import split
from training.report import draw

SAMPLES, CALLS = 1500, 50
SHOWN = 64
TEST_DIGITS = 297


def samples(denoiser: Denoiser, count: int) -> torch.Tensor:
    """``count`` samples (n, 1, 8, 8), of every condition in turn; nothing is clamped."""
    grid = "quadratic" if "quadratic" in grids.suitable(denoiser.process) else None
    return draw(denoiser, (count, 1, 8, 8), "dpmpp-2m", CALLS, grid)


@torch.no_grad()
def measure(images: torch.Tensor, asked: torch.Tensor | None) -> dict[str, Any]:
    """The row of ``images`` (n, 1, 8, 8), sampled under the classes ``asked`` (n,), if any."""
    classifier, train = features.load(), split()[0].images
    likely = classifier(images).softmax(1).max(1)
    sampled, real = classifier.features(images), classifier.features(train)
    return {
        "samples": len(images),
        "frechet": between(sampled, real),
        "frechet_297": between(sampled[:TEST_DIGITS], real),
        "confidence": float(likely.values.mean()),
        "asked": None if asked is None else float((likely.indices == asked).float().mean()),
        "nearest": float(torch.cdist(images.flatten(1), train.flatten(1)).min(1).values.mean()),
    }


def main(
    quick: Annotated[bool, typer.Option("--quick", help="A fifth of the samples; no pictures.")] = False,
    pictures: Annotated[Path, typer.Option(help="Where the pictures go.")] = Path("docs/models"),
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path("var/benchmarks/zoo.json"),
) -> None:
    """Measure the zoo."""
    torch.set_num_threads(1)
    test = split()[1]
    rows = [{"model": "test digits", **measure(test.images, test.labels)}]
    for name in (name for name in zoo.names() if name.startswith("digits")):
        denoiser = zoo.load(name)
        images = samples(denoiser, SAMPLES // 5 if quick else SAMPLES)
        asked = torch.arange(len(images)) % 10 if denoiser.conditions == 10 else None
        rows.append({"model": name, **measure(images, asked)})
        if not quick:
            pictures.mkdir(parents=True, exist_ok=True)
            (pictures / f"{name}.png").write_bytes(picture.png(picture.grid(images[:SHOWN])))
    page = Table("model", "samples", "Fréchet", "of 297", "confidence", "class asked for", "nearest digit")
    for row in rows:
        cells = (row[key] for key in ("frechet", "frechet_297", "confidence", "asked", "nearest"))
        page.add_row(row["model"], str(row["samples"]), *("–" if c is None else f"{c:.3g}" for c in cells))
    console = Console(width=110)
    console.print(page)
    report = {"accuracy": accuracy(features.load(), test), "rows": rows}
    console.print(f"digits-features names {report['accuracy']:.1%} of {len(test.images)} test digits")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
