"""Opens a model folder, of diffusers or of an exported program."""

from pathlib import Path

from fewstep.models import program
from fewstep.models.manifest import Manifest
from fewstep.models.network import NetworkDenoiser

__all__ = ["open"]


def open(folder: Path | str, device: str = "cpu", manifest: Manifest | None = None) -> NetworkDenoiser:
    """The denoiser of a model folder, its network on ``device``.

    ``manifest`` saves reading the folder's manifest again. Raises `InvalidModel` with the reason.

    >>> from fewstep.models import zoo
    >>> denoiser = open(zoo.describe("digits-cond").path)
    >>> denoiser.process.kind, denoiser.conditions
    ('discrete', 10)
    """
    path = Path(folder)
    manifest = manifest or Manifest.read(path)
    if manifest.kind == "program":
        return program.open_program(manifest, path, device)
    from fewstep.models import diffusers  # heavy, and an extra

    return diffusers.open_network(manifest, path, device)
