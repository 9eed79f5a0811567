"""Reference to a model: source, name and digest, which travel between worker processes in the place of its weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fewstep.blobs import Blobs
from fewstep.errors import InvalidModel, UnknownName
from fewstep.models import zoo
from fewstep.models.manifest import Manifest

if TYPE_CHECKING:
    from fewstep.models.base import Denoiser

__all__ = ["SOURCES", "ModelReference"]

SOURCES = ("zoo", "folder", "upload", "hub", "program")


@dataclass(frozen=True)
class ModelReference:
    """``source`` (one of `SOURCES`), ``name`` within it, and the ``digest`` that the model must have.

    ``folder`` is where the model lies; only the zoo's need none. A machine that has no such folder fetches the model
    from ``blobs``, where there are some.
    """

    source: str
    name: str
    digest: str
    folder: Path | None = None
    blobs: Blobs | None = None

    @classmethod
    def zoo(cls, name: str) -> "ModelReference":
        """Reference to a model of the zoo as it is installed here; raises `UnknownName`."""
        return cls("zoo", name, zoo.describe(name).digest)

    @classmethod
    def at(cls, name: str) -> "ModelReference":
        """Reference to a model on this machine: the zoo's of that name, else the model folder of that path.

        Raises `UnknownName` where it is neither, `InvalidModel` where the folder is no model.

        >>> ModelReference.at("digits-mixture").open()[1]
        (1, 8, 8)
        """
        path = Path(name)
        if name in zoo.names() or not path.is_dir():
            return cls.zoo(name)
        return cls("folder", name, Manifest.read(path).digest, path)

    def open(self, device: str = "cpu") -> "tuple[Denoiser, tuple[int, ...]]":
        """The denoiser, its network on ``device``, and the shape of one sample.

        Raises `InvalidModel` where the model has another digest than was submitted, `NotFound` or `ServiceError` where
        it cannot be fetched.
        """
        if self.source not in SOURCES:
            raise UnknownName("model source", self.source, SOURCES)
        if self.source == "zoo":
            model = zoo.describe(self.name)
            self._compare(model.digest)
            return zoo.load(self.name, device), model.shape
        if self.folder is None:
            raise InvalidModel(f"model {self.name!r} of source {self.source} wants the folder where it lies")
        place = self.folder if self.blobs is None or self.folder.is_dir() else self.blobs.fetch(self.digest)
        manifest = Manifest.read(place)
        self._compare(manifest.digest)
        from fewstep.models import folder

        return folder.open(place, device, manifest), manifest.shape

    def _compare(self, digest: str) -> None:
        if digest != self.digest:
            raise InvalidModel(
                f"model {self.name!r} was submitted with digest {self.digest[:16]}…, but the one installed here has "
                f"{digest[:16]}…: submit it again"
            )
