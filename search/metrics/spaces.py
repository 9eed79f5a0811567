"""Feature spaces and references by name: the built-in ones, and the files of a folder that the operator fills.

| file in the folder | what it is |
|---|---|
| ``NAME.pt2`` | features: a program that torch.export wrote |
| ``NAME.safetensors``, ``NAME.pth`` | features: weights of Inception-v3 |
| ``NAME.npz`` | a reference: ``mu``, ``sigma`` and perhaps ``rows`` |

Names come from outside; they are looked up in the folder's own listing, so none leads out of it.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fewstep.errors import UnknownName
from fewstep.measure import Measure
from fewstep.models import features as digits
from search.metrics import inception, named
from search.metrics.base import Metric
from search.metrics.coupled import Coupled
from search.metrics.endpoint import Endpoint
from search.metrics.features import Features, pixels, program
from search.metrics.reference import Reference, from_images, read

__all__ = ["FEATURES", "REFERENCES", "features", "feature_names", "judging", "reference", "reference_names"]

READERS: dict[str, Callable[[Path, str], Features]] = {
    ".pt2": program,
    ".safetensors": inception.load,
    ".pth": inception.load,
}
FEATURES = ("pixels", "digits")
REFERENCES = ("teacher", "digits")


def feature_names(folder: Path | None) -> list[str]:
    """All known names of features, the built-in ones first.

    >>> feature_names(None)
    ['pixels', 'digits']
    """
    return list(dict.fromkeys([*FEATURES, *sorted(_files(folder, tuple(READERS)))]))


def reference_names(folder: Path | None) -> list[str]:
    """All known names of references, the built-in ones first."""
    return list(dict.fromkeys([*REFERENCES, *sorted(_files(folder, (".npz",)))]))


def features(name: str, folder: Path | None = None, device: str = "cpu") -> Features:
    """The features of that name; raises `UnknownName`, and `InvalidModel` where the file is not what it should be."""
    if name == "pixels":
        return pixels
    if name == "digits":
        classifier = digits.load()

        def made(images: torch.Tensor) -> torch.Tensor:
            return classifier.features(images.float().cpu())

        return made
    path = _files(folder, tuple(READERS)).get(name)
    if path is None:
        raise UnknownName("features", name, feature_names(folder))
    return READERS[path.suffix](path, device)


def reference(measure: Measure, folder: Path | None = None) -> Reference:
    """The reference that a measure names, any but "teacher"; raises `UnknownName` and `InvalidInput`."""
    if measure.reference == "digits":
        return from_images(_digits(), features(measure.features, folder), measure.features)
    path = _files(folder, (".npz",)).get(measure.reference)
    if path is None:
        raise UnknownName("reference", measure.reference, reference_names(folder))
    return read(path)


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


def _files(folder: Path | None, suffixes: tuple[str, ...]) -> dict[str, Path]:
    if folder is None or not folder.is_dir():
        return {}
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix in suffixes and path.is_file()}
