"""A model by name and identity: what travels between processes instead of weights."""

from dataclasses import dataclass

from fewstep.errors import InvalidModel, UnknownName
from fewstep.models import zoo
from fewstep.models.base import Denoiser

__all__ = ["SOURCES", "ModelReference"]

SOURCES = ("zoo",)


@dataclass(frozen=True)
class ModelReference:
    """``source`` (one of `SOURCES`), ``name`` within it, and the ``digest`` that the weights must have."""

    source: str
    name: str
    digest: str

    @classmethod
    def zoo(cls, name: str) -> "ModelReference":
        """Reference to a model of the zoo as it is installed here; raises `UnknownName`."""
        return cls("zoo", name, zoo.describe(name).digest)

    def open(self) -> tuple[Denoiser, tuple[int, ...]]:
        """The denoiser and the shape of one sample; raises `InvalidModel` where the weights have another digest."""
        if self.source not in SOURCES:
            raise UnknownName("model source", self.source, SOURCES)
        found = zoo.describe(self.name)
        if found.digest != self.digest:
            raise InvalidModel(
                f"model {self.name!r} was submitted with digest {self.digest[:16]}…, but the one installed here has "
                f"{found.digest[:16]}…: submit it again"
            )
        return zoo.load(self.name), found.shape
