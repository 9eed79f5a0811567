"""Feature spaces and references by name, loaded when they are first used: those of `fewstep.values.catalogue`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from fewstep.models import features as classifier
from fewstep.search.metrics import inception, lite0
from fewstep.search.metrics.features import Features, pixels, program
from fewstep.search.metrics.reference import Reference, from_images, read
from fewstep.values.catalogue import PROGRAM, WEIGHTS, Catalogue

__all__ = ["FeatureSpace", "features", "reference"]

READERS: dict[str, Callable[[Path, str], Features]] = {PROGRAM: program, **dict.fromkeys(WEIGHTS, inception.load)}
HELD = 4  # networks in one process, least recently used first out


@dataclass(frozen=True)
class FeatureSpace:
    """The features of that name, loaded when the first images come; the name alone travels between processes.

    ``folder`` is the operator's, ``device`` that of the images. A call raises as `features` does.

    >>> FeatureSpace("digits")(torch.zeros(3, 1, 8, 8)).shape
    torch.Size([3, 64])
    """

    name: str
    folder: Path | None = None
    device: str = "cpu"

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return features(self.name, self.folder, self.device)(images)


@lru_cache(HELD)
def features(name: str, folder: Path | None = None, device: str = "cpu") -> Features:
    """The features of that name.

    Raises `UnknownName`, `InvalidInput` where an extra is not installed, and `InvalidModel` where a file is not what it
    should be.
    """
    if name == "pixels":
        return pixels
    if name == "digits":
        network = classifier.load()
        return lambda images: network.features(images.float().cpu())
    if name == "lite0":
        return lite0.load(device)
    path = Catalogue(folder).features_file(name)
    return READERS[path.suffix](path, device)


def reference(name: str, space: FeatureSpace) -> Reference:
    """The reference of that name, any but "teacher", in a feature space; raises `UnknownName` and `InvalidInput`."""
    if name == "digits":
        return from_images(_digits(), space, space.name, device=space.device)
    return read(Catalogue(space.folder).reference_file(name))


def _digits() -> np.ndarray:
    from sklearn.datasets import load_digits  # slow to import, and seldom wanted

    images: np.ndarray = (load_digits().images / 8.0 - 1.0).astype(np.float32)[:, None]
    return images
