"""The training data: scikit-learn's digits, scaled to [−1, 1], split into training and test digits."""

from typing import NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits

__all__ = ["Images", "digits", "split"]

TRAIN = 1500  # of 1797


class Images(NamedTuple):
    """``images`` (n, 1, 8, 8) float32 in [−1, 1] and ``labels`` (n,) int64, 0 to 9."""

    images: torch.Tensor
    labels: torch.Tensor


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
