"""Feature spaces and references by name, ready to use: those of a `fewstep.values.catalogue.Catalogue`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fewstep.models import features as digits
from fewstep.search.metrics import inception, named
from fewstep.search.metrics.base import Metric
from fewstep.search.metrics.coupled import Coupled
from fewstep.search.metrics.endpoint import Endpoint
from fewstep.search.metrics.features import Features, pixels, program
from fewstep.search.metrics.reference import Reference, from_images, read
from fewstep.values.catalogue import PROGRAM, WEIGHTS, Catalogue
from fewstep.values.objective import Measure

__all__ = ["features", "judging", "reference"]

READERS: dict[str, Callable[[Path, str], Features]] = {PROGRAM: program, **dict.fromkeys(WEIGHTS, inception.load)}


def features(name: str, folder: Path | None = None, device: str = "cpu") -> Features:
    """The features of that name; raises `UnknownName`, and `InvalidModel` where the file is not what it should be."""
    if name == "pixels":
        return pixels
    if name == "digits":
        classifier = digits.load()

        def made(images: torch.Tensor) -> torch.Tensor:
            return classifier.features(images.float().cpu())

        return made
    path = Catalogue(folder).features_file(name)
    return READERS[path.suffix](path, device)


def reference(measure: Measure, folder: Path | None = None) -> Reference:
    """The reference that a measure names, any but "teacher"; raises `UnknownName` and `InvalidInput`."""
    if measure.reference == "digits":
        return from_images(_digits(), features(measure.features, folder), measure.features)
    return read(Catalogue(folder).reference_file(measure.reference))


def judging(measure: Measure, folder: Path | None = None) -> Metric:
    """The metric of a measure, for rows that were observed elsewhere; raises as `reference` does."""
    if measure.metric == "endpoint":
        return Endpoint()
    if measure.reference == "teacher":
        return Coupled(measure.metric)
    return named(measure.metric, reference(measure, folder))


def _digits() -> np.ndarray:
    from sklearn.datasets import load_digits  # slow to import, and seldom wanted

    images: np.ndarray = (load_digits().images / 8.0 - 1.0).astype(np.float32)[:, None]
    return images
