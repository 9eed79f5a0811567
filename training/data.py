"""The training data: scikit-learn's digits, Fashion-MNIST and colour emoji, scaled to [−1, 1].

The digits come with scikit-learn. The pictures are read from packages where their package manager puts them:

| data | package | folder, or the value of |
|---|---|---|
| `fashion` | Debian's ``dataset-fashion-mnist`` (MIT) | /usr/share/datasets/fashion-mnist, FASHION_MNIST |
| `emoji` | npm's ``emoji-datasource-google`` (Apache 2.0) | node_modules/emoji-datasource-google, EMOJI_DATASOURCE |
"""

import gzip
import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

from fewstep.errors import InvalidInput

__all__ = ["CATEGORIES", "GARMENTS", "Images", "digits", "emoji", "fashion", "split"]

TRAIN = 1500  # of 1797
SIDE = 32  # of a picture, in pixels
GARMENTS = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
CATEGORIES = (
    "Smileys & Emotion",
    "People & Body",
    "Animals & Nature",
    "Food & Drink",
    "Travel & Places",
    "Activities",
    "Objects",
    "Symbols",
    "Flags",
)


class Images(NamedTuple):
    """``images`` (n, C, H, W) float32 in [−1, 1] and ``labels`` (n,) int64, the class of each.

    ``weights`` (n,): how often a training draws each, up to a factor; None for alike.
    """

    images: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor | None = None


def digits() -> np.ndarray:
    """The 1797 digits as rows of 64 numbers in [−1, 1], float64."""
    images: np.ndarray = load_digits().data / 8.0 - 1.0
    return images


def split() -> tuple[Images, Images]:
    """1500 training digits and 297 test digits, shuffled, because neighbours in the file share a writer."""
    order = np.random.default_rng(0).permutation(len(digits()))
    images = torch.from_numpy(digits()[order]).float().reshape(-1, 1, 8, 8)
    labels = torch.from_numpy(load_digits().target[order]).long()
    return Images(images[:TRAIN], labels[:TRAIN]), Images(images[TRAIN:], labels[TRAIN:])


def fashion(part: str = "train") -> Images:
    """Fashion-MNIST, ``part`` "train" (60 000) or "t10k" (10 000): (n, 1, 32, 32), two black pixels on every side.

    Labels are places in `GARMENTS`. Raises `InvalidInput` where the package is missing.
    """
    folder = Path(os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))
    pixels = _idx(folder / f"{part}-images-idx3-ubyte.gz")
    labels = _idx(folder / f"{part}-labels-idx1-ubyte.gz")
    margins = ((SIDE - pixels.shape[1]) // 2, (SIDE - pixels.shape[2]) // 2)
    padded = np.pad(pixels, ((0, 0), *((margin, margin) for margin in margins)))
    return Images(_scaled(padded[:, None]), torch.tensor(labels, dtype=torch.int64))


def emoji() -> Images:
    """Colour emoji on white, halved to (n, 3, 32, 32); labels are places in `CATEGORIES`.

    Every emoji has weight 1, and its skin tones share another 1. Raises `InvalidInput` where the package is missing.
    """
    folder = Path(os.environ.get("EMOJI_DATASOURCE", "node_modules/emoji-datasource-google"))
    try:
        entries = json.loads((folder / "emoji.json").read_text())
    except OSError as error:
        raise InvalidInput(
            f"no emoji in {folder}: run npm install emoji-datasource-google here, or set EMOJI_DATASOURCE to its folder"
        ) from error
    pictures, labels, weights = [], [], []
    for entry in entries:
        if entry["category"] not in CATEGORIES:  # the swatches of the skin tones
            continue
        tones = list(entry.get("skin_variations", {}).values())
        for variant, weight in ((entry, 1.0), *((tone, 1 / len(tones)) for tone in tones)):
            if variant["has_img_google"]:
                pictures.append(_on_white(folder / "img" / "google" / "64" / variant["image"]))
                labels.append(CATEGORIES.index(entry["category"]))
                weights.append(weight)
    pixels = np.stack(pictures).transpose(0, 3, 1, 2)  # (n, 3, 32, 32)
    return Images(_scaled(pixels), torch.tensor(labels), torch.tensor(weights))


def _idx(path: Path) -> np.ndarray:
    """The array of bytes in a gzipped IDX file: a magic number (its last byte counts the dimensions), sizes, values."""
    try:
        content = gzip.decompress(path.read_bytes())
    except OSError as error:
        raise InvalidInput(
            f"cannot read {path}: run apt-get install dataset-fashion-mnist, or set FASHION_MNIST to its folder"
        ) from error
    shape = np.frombuffer(content, ">i4", count=content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 * (1 + len(shape))).reshape(shape)


def _on_white(path: Path) -> np.ndarray:
    """A picture with transparency as (32, 32, 3) bytes on white, antialiased."""
    with Image.open(path) as picture:
        opaque = picture.convert("RGBA")
    white = Image.new("RGBA", opaque.size, "white")
    return np.asarray(
        Image.alpha_composite(white, opaque).convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    )


def _scaled(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).float() / 127.5 - 1
