"""Model folders, opened: the one door for every model that is not built in."""

from pathlib import Path

from fewstep.models import program
from fewstep.models.manifest import Manifest
from fewstep.models.network import NetworkDenoiser

__all__ = ["open"]


def open(folder: Path | str, device: str = "cpu", manifest: Manifest | None = None) -> NetworkDenoiser:
    """The denoiser of a model folder, its network on ``device``.

    ``manifest`` is the folder's own where it was read already. Raises `InvalidModel` with the reason.

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
