"""The reference models in the wheel, small enough for a CPU: names, weights on disk, digests.

Describing a model takes no torch; opening it does. The folder `training` rebuilds each from its recipe and seed.
"""

import hashlib
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from fewstep.errors import InvalidModel, UnknownName
from fewstep.models.manifest import Manifest
from fewstep.processes import Process, VPLinear

if TYPE_CHECKING:
    import torch

    from fewstep.models.base import Denoiser
    from fewstep.models.mixture import GaussianMixture

__all__ = ["ZooMixture", "ZooModel", "describe", "load", "names", "read_mixture", "read_weights"]


def read_weights(path: Path) -> "dict[str, torch.Tensor]":
    """All tensors of a safetensors file; raises `InvalidModel` where it is missing, truncated or something else."""
    import safetensors.torch

    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        size = f"{path.stat().st_size} bytes" if path.exists() else "missing"
        raise InvalidModel(f"cannot read weights {path.name} ({size}): {error}; restore the file") from error


def read_mixture(path: Path, process: Process) -> "GaussianMixture":
    """The Gaussian mixture in a safetensors file; raises `InvalidModel` where it holds something else."""
    from fewstep.models.mixture import GaussianMixture

    tensors = read_weights(path)
    missing = {"weights", "means", "covariances"} - set(tensors)
    if missing:
        raise InvalidModel(f"{path.name} lacks the tensors {sorted(missing)} of a Gaussian mixture")
    return GaussianMixture(process, tensors["weights"], tensors["means"], tensors["covariances"])


def _weights() -> Path:
    return Path(str(resources.files("fewstep.models") / "weights"))


@dataclass(frozen=True)
class ZooModel:
    """A shipped network: a model folder (`fewstep.models.layout`) as diffusers saves it."""

    name: str
    summary: str

    @property
    def path(self) -> Path:
        """Folder of its weights."""
        return _weights() / self.name

    @cached_property
    def manifest(self) -> Manifest:
        """Manifest of the folder; raises `InvalidModel`."""
        return Manifest.read(self.path)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.manifest.shape

    @property
    def process(self) -> Process:
        """The noise process."""
        return self.manifest.process

    @property
    def digest(self) -> str:
        """Identity of the model, in hexadecimal, the same as that of its folder; raises `InvalidModel`."""
        return self.manifest.digest

    def open(self, device: str = "cpu") -> "Denoiser":
        """Its denoiser, the network on ``device``; raises `InvalidModel`."""
        from fewstep.models import folder

        return folder.open(self.path, device, self.manifest)


@dataclass(frozen=True)
class ZooMixture(ZooModel):
    """A shipped Gaussian mixture: one file of tables; the shape of a sample and the process are fields."""

    sample_shape: tuple[int, ...]
    noise_process: Process

    @property
    def path(self) -> Path:
        """File of its tables."""
        return _weights() / f"{self.name}.safetensors"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.sample_shape

    @property
    def process(self) -> Process:
        """The noise process."""
        return self.noise_process

    @property
    def digest(self) -> str:
        """Identity of the model: SHA-256 of its weights, shape and process, in hexadecimal; raises `InvalidModel`."""
        if not self.path.is_file():
            raise InvalidModel(f"the weights of {self.name!r} are missing: reinstall fewstep")
        content = hashlib.sha256(self.path.read_bytes())
        content.update(repr((self.shape, self.process)).encode())
        return content.hexdigest()

    def open(self, device: str = "cpu") -> "Denoiser":
        """Its denoiser, which computes wherever the states are; raises `InvalidModel`."""
        return read_mixture(self.path, self.process)


MIXTURE = ZooMixture(
    "digits-mixture",
    "exact denoiser of a 40-component Gaussian mixture fitted to scikit-learn's digits",
    (1, 8, 8),
    VPLinear(),
)
NETWORKS = (
    ZooModel("digits-unet", "U-Net that predicts noise, trained with constant weight"),
    ZooModel("digits-unet-debiased", "the same network, trained with the debiased weight SNR^(-1/2)"),
    ZooModel("digits-cond", "U-Net under a digit's class, with guidance"),
    ZooModel("digits-ddm", "decoupled diffusion: one head for the data's fading, one for the noise"),
    ZooModel("digits-flow", "U-Net that predicts the velocity of flow matching"),
    ZooModel("fashion-unet", "U-Net that predicts noise, of Fashion-MNIST at 32 × 32, under a class, with guidance"),
    ZooModel(
        "emoji-flow", "flow matching with shifted times, of colour emoji at 32 × 32, under a category, with guidance"
    ),
)
ZOO: dict[str, ZooModel] = {model.name: model for model in (MIXTURE, *NETWORKS)}


def names() -> list[str]:
    """Names of the zoo's models.

    >>> names()[0]
    'digits-mixture'
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


def load(name: str, device: str = "cpu") -> "Denoiser":
    """The denoiser of that name, its network on ``device``, opened once; raises `UnknownName` or `InvalidModel`.

    >>> load("digits-mixture").process.kind
    'vp-linear'
    """
    return _load(name, device)


@cache
def _load(name: str, device: str) -> "Denoiser":
    return describe(name).open(device)
