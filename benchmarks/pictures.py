"""Sample quality of the zoo's picture models, with sheets of samples.

``python -m benchmarks.pictures [--samples N] [--pictures FOLDER] [--out FILE]`` wants both packages of pictures
(`training.data`) and writes JSON, two rows for every model:

| key | meaning |
|---|---|
| ``frechet`` | Fréchet distance to the training pictures in 64 features of a classifier that is trained here first |
| ``pixels`` | the same over pictures averaged to 4 × 4 pixels, of no classifier: layout and colour alone |
| ``asked`` | share of samples that the classifier puts into the class that was asked for |

The row "real" measures as many pictures of the data: of Fashion-MNIST's test set, or another draw of the emoji, which
all belong to the training. Its distances are what a perfect model would have. Samples are those of 20 calls of
DPM-Solver++ 2M without guidance, clamped, of every class in turn; real pictures are drawn with every class as likely.
The sheets have a class in every column, with the model's own guidance.
"""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import nn

from fewstep import grids
from fewstep.cli import picture
from fewstep.models import Denoiser, folder, zoo
from fewstep.search.metrics.frechet import between
from training.classifier import cross_entropy
from training.data import Images, emoji, fashion
from training.report import draw
from training.train import Settings, train

MODELS = ("fashion-unet", "emoji-flow")
CALLS = 20
REFERENCE = 8192  # training pictures that the rest is compared with
SETTINGS = Settings(2000)


class Classifier(nn.Module):
    """Pictures (B, C, 32, 32) in [−1, 1] -> logits (B, classes), from 64 features."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        sizes = (channels, 24, 48, 64)
        layers = [
            nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.SiLU())
            for before, after in pairwise(sizes)
        ]
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024, 64), nn.SiLU())
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(64, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (B, classes)."""
        logits: torch.Tensor = self.head(self.dropout(self.features(images)))
        return logits


def drawn(images: Images, count: int, seed: int) -> Images:
    """``count`` of ``images``, every class as likely, and within it as a training draws them."""
    weights = torch.ones(len(images.images)) if images.weights is None else images.weights
    weights = weights / torch.bincount(images.labels, weights)[images.labels]
    chosen = torch.multinomial(weights, count, replacement=True, generator=torch.Generator().manual_seed(seed))
    return Images(images.images[chosen], images.labels[chosen])


def averaged(images: torch.Tensor) -> torch.Tensor:
    """Pictures (n, C, 32, 32) as (n, 16 C) means over 8 × 8 pixels."""
    return nn.functional.avg_pool2d(images, 8).flatten(1)


@torch.no_grad()
def measure(classifier: Classifier, images: Images, reference: Images) -> dict[str, Any]:
    """The row of ``images``, sampled or real, with the classes that were asked for as labels."""
    features, others = (classifier.features(each.images) for each in (images, reference))
    named = classifier.head(features).argmax(1)
    return {
        "samples": len(images.images),
        "frechet": between(features, others),
        "pixels": between(averaged(images.images), averaged(reference.images)),
        "asked": float((named == images.labels).float().mean()),
    }


def sampled(denoiser: Denoiser, shape: tuple[int, ...], count: int) -> torch.Tensor:
    """``count`` samples (n, C, 32, 32) in [−1, 1], of every condition in turn."""
    grid = "quadratic" if "quadratic" in grids.suitable(denoiser.process) else None
    return draw(denoiser, (count, *shape), "dpmpp-2m", CALLS, grid, batch=128).clamp(-1, 1)


def rows(name: str, samples: int, pictures: Path) -> list[dict[str, Any]]:
    """The rows of real pictures and of the model's; its sheet is written."""
    known, unseen = (fashion(), fashion("t10k")) if name == "fashion-unet" else (emoji(), emoji())
    described = zoo.describe(name)
    classes = described.manifest.conditions
    learned = train(lambda: Classifier(described.shape[0], classes), cross_entropy, known, SETTINGS)
    assert isinstance(learned, Classifier)
    reference = drawn(known, REFERENCE, 0)
    plain = folder.open(described.path, manifest=replace(described.manifest, guidance=1.0))
    images = Images(sampled(plain, described.shape, samples), torch.arange(samples) % classes)
    pictures.mkdir(parents=True, exist_ok=True)
    sheet = sampled(described.open(), described.shape, classes**2)
    (pictures / f"{name}.png").write_bytes(picture.png(picture.grid(sheet)))
    return [
        {"pictures": f"real, of {name}", **measure(learned, drawn(unseen, samples, 1), reference)},
        {"pictures": name, **measure(learned, images, reference)},
    ]


def main(
    samples: Annotated[int, typer.Option(help="Samples of each row.")] = 2048,
    pictures: Annotated[Path, typer.Option(help="Where the sheets go.")] = Path("docs/models"),
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path("var/benchmarks/pictures.json"),
) -> None:
    """Measure the picture models of the zoo."""
    torch.set_num_threads(1)
    report = [row for name in MODELS for row in rows(name, samples, pictures)]
    page = Table("pictures", "samples", "Fréchet", "of averaged pixels", "class asked for")
    for row in report:
        cells = (f"{row[key]:.3g}" for key in ("frechet", "pixels", "asked"))
        page.add_row(row["pictures"], str(row["samples"]), *cells)
    console = Console(width=110)
    console.print(page)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
