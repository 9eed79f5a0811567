"""The reference models that ship with fewstep, small enough for a CPU: names, weights on disk, identity.

`training` rebuilds every one of them from its recipe and seed.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from fewstep.errors import InvalidModel, UnknownName
from fewstep.models.base import Denoiser
from fewstep.models.mixture import GaussianMixture
from fewstep.processes import Process, VPLinear

__all__ = ["ZooModel", "describe", "load", "names", "read_weights"]


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file; raises `InvalidModel` where it is missing, truncated or something else."""
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        size = f"{path.stat().st_size} bytes" if path.exists() else "missing"
        raise InvalidModel(f"cannot read weights {path.name} ({size}): {error}; restore the file") from error


def _mixture(path: Path, process: Process) -> Denoiser:
    tensors = read_weights(path)
    missing = {"weights", "means", "covariances"} - set(tensors)
    if missing:
        raise InvalidModel(f"{path.name} lacks the tensors {sorted(missing)} of a Gaussian mixture")
    return GaussianMixture(process, tensors["weights"], tensors["means"], tensors["covariances"])


@dataclass(frozen=True)
class ZooModel:
    """A shipped model: what it is, where its weights lie and how to make a denoiser of them."""

    name: str
    summary: str
    shape: tuple[int, ...]
    process: Process
    make: Callable[[Path, Process], Denoiser]

    @property
    def path(self) -> Path:
        """The weights file."""
        return Path(str(resources.files("fewstep.models") / "weights" / f"{self.name}.safetensors"))

    @property
    def digest(self) -> str:
        """Identity of the model: SHA-256 of its weights, shape and process, in hexadecimal; raises `InvalidModel`."""
        if not self.path.is_file():
            raise InvalidModel(f"the weights of {self.name!r} are missing: reinstall fewstep")
        content = hashlib.sha256(self.path.read_bytes())
        content.update(repr((self.shape, self.process)).encode())
        return content.hexdigest()


ZOO = {
    model.name: model
    for model in (
        ZooModel(
            "digits-mixture",
            "exact denoiser of a 40-component Gaussian mixture fitted to scikit-learn's digits",
            (1, 8, 8),
            VPLinear(),
            _mixture,
        ),
    )
}


def names() -> list[str]:
    """Names of the zoo's models.

    >>> names()
    ['digits-mixture']
    """
    return list(ZOO)


def describe(name: str) -> ZooModel:
    """The zoo's entry of that name; raises `UnknownName`.

    >>> describe("digits-mixture").shape
    (1, 8, 8)
    """
    if name not in ZOO:
        raise UnknownName("zoo model", name, ZOO)
    return ZOO[name]


@cache
def load(name: str) -> Denoiser:
    """The denoiser of that name, loaded once; raises `UnknownName` or `InvalidModel`.

    >>> load("digits-mixture").process.kind
    'vp-linear'
    """
    model = describe(name)
    return model.make(model.path, model.process)
