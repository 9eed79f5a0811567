"""What samples should look like: statistics of a data set's features, worked out once and kept by digest.

The file is the ``.npz`` that published Fréchet scores use, keys ``mu`` (F,) and ``sigma`` (F, F); ours has ``rows``
(m, F) as well, the features themselves, which kernel and Wasserstein distances want.
"""

import hashlib
import os
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from fewstep.errors import InvalidInput
from fewstep.search.metrics.base import checked
from fewstep.search.metrics.features import Features, rows_of
from fewstep.search.metrics.moments import Moments

__all__ = ["Reference", "from_images", "from_rows", "read"]

ROUNDING = 1e-5  # relative; published statistics are often in single precision


@dataclass(frozen=True, eq=False)
class Reference:
    """``mean`` (F,) and ``covariance`` (F, F) of features, and ``rows`` (m, F), the features themselves, if any.

    Raises `InvalidInput` where shapes do not fit, a number is not finite, or the covariance is none.
    """

    mean: np.ndarray
    covariance: np.ndarray
    rows: np.ndarray | None = None

    def __post_init__(self) -> None:
        mean, covariance = np.asarray(self.mean, np.float64), np.asarray(self.covariance, np.float64)
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)) or not len(mean):
            raise InvalidInput(f"a reference wants mu (F,) and sigma (F, F), got {mean.shape} and {covariance.shape}")
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise InvalidInput("a reference wants finite mu and sigma, got NaN or infinity: make the statistics anew")
        size = np.abs(covariance).max()
        if np.abs(covariance - covariance.T).max() > ROUNDING * size:
            raise InvalidInput("sigma is a covariance, which is symmetric; this one is not")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "covariance", (covariance + covariance.T) / 2)
        if self.rows is not None:
            object.__setattr__(self, "rows", checked(self.rows, fewest=2, width=len(mean)))

    @cached_property
    def root(self) -> np.ndarray:
        """The symmetric square root (F, F) of the covariance; raises `InvalidInput` for negative variances."""
        values, vectors = np.linalg.eigh(self.covariance)
        if values[0] < -ROUNDING * max(abs(values[-1]), np.finfo(float).tiny):
            raise InvalidInput(f"sigma is a covariance, without negative variances; this one has {values[0]:.3g}")
        result: np.ndarray = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        return result

    def rows_for(self, metric: str) -> np.ndarray:
        """The rows; raises `InvalidInput` where there are only moments, which are not enough for ``metric``."""
        if self.rows is None:
            raise InvalidInput(
                f"{metric} compares with the features of single images, but this reference has mu and sigma only: make "
                "it from the images"
            )
        return self.rows


def from_rows(rows: np.ndarray) -> Reference:
    """The reference of features (m, F), at least two.

    >>> from_rows(np.array([[0.0], [2.0]])).covariance.tolist()
    [[2.0]]
    """
    moments = Moments.of(rows)
    return Reference(moments.mean, moments.covariance, rows)


def from_images(
    images: np.ndarray, features: Features, identity: str, cache: Path | None = None, device: str = "cpu"
) -> Reference:
    """The reference of ``images`` (m, ...) as the network sees them.

    With a folder ``cache`` the result is kept there, under a digest of the images and of ``identity``, which names the
    features (their weights' digest, for instance).
    """
    images = np.ascontiguousarray(images)
    digest = hashlib.sha256(f"{identity}/{images.dtype}/{images.shape}/".encode())
    digest.update(images.data)
    path = None if cache is None else cache / f"reference-{digest.hexdigest()}.npz"
    if path is not None and path.exists():
        return read(path)
    reference = from_rows(rows_of(features, torch.from_numpy(images).to(device)))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial.npz")
        np.savez(partial, mu=reference.mean, sigma=reference.covariance, rows=reference.rows_for("a cached reference"))
        partial.replace(path)  # atomic: another worker sees the whole file or none
    return reference


def read(path: Path) -> Reference:
    """The reference of an ``.npz`` with ``mu``, ``sigma`` and perhaps ``rows``; raises `InvalidInput` for others."""
    try:
        with np.load(path, allow_pickle=False) as file:
            entries = {name: file[name] for name in ("mu", "sigma", "rows") if name in file}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"{path.name} is no .npz file of statistics: {error}") from error
    if not {"mu", "sigma"} <= entries.keys():
        raise InvalidInput(f"{path.name} wants the keys mu and sigma, got {', '.join(entries) or 'neither'}")
    return Reference(entries["mu"], entries["sigma"], entries.get("rows"))
