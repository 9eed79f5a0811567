"""JSON shapes of models: where one may come from, what the service knows of it, and its measured grid."""

import reprlib
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Discriminator, Field, Tag

from api.schemas import In
from storage.values import Model, ModelState

__all__ = ["FolderIn", "GridOut", "HubIn", "ModelIn", "ModelOut", "ZooIn"]


class ZooIn(In):
    """A model of the zoo."""

    source: Literal["zoo"] = "zoo"
    name: str = Field(min_length=1, max_length=100, examples=["digits-mixture"])


class FolderIn(In):
    """A model folder on the service's machine, below one of the folders that its operator lists."""

    source: Literal["folder"]
    name: str = Field(min_length=1, max_length=500, examples=["team/ddpm-cifar10"], description="Path below the root")


class HubIn(In):
    """A repository of the hub at one commit; only where the operator allows it."""

    source: Literal["hub"]
    repo: str = Field(
        pattern=r"^[0-9A-Za-z_-][0-9A-Za-z_.-]{0,95}/[0-9A-Za-z_-][0-9A-Za-z_.-]{0,95}$",
        examples=["google/ddpm-cifar10-32"],
    )
    commit: str = Field(pattern=r"^[0-9a-f]{40}$", description="The commit's whole SHA-1")


def _source(value: Any) -> str:
    """The tag; text whatever was given, so that the answer can name the known ones."""
    source = value.get("source", "zoo") if isinstance(value, dict) else getattr(value, "source", None)
    return source if isinstance(source, str) else reprlib.repr(source)


ModelIn = Annotated[
    Annotated[ZooIn, Tag("zoo")] | Annotated[FolderIn, Tag("folder")] | Annotated[HubIn, Tag("hub")],
    Discriminator(_source),
]


class ModelOut(BaseModel):
    """A model. Searches may name it once its ``state`` is ready; ``reason`` says why it was refused.

    ``shape`` is one sample's and empty while the model is still to be fetched; ``passes`` are those of the network in
    one call (2 with guidance); ``seconds_per_call`` is what a call for one sample took when the model was tried.
    """

    id: str
    name: str
    source: str
    state: ModelState
    reason: str | None
    summary: str
    shape: list[int]
    process: dict[str, Any]
    network: str | None
    prediction: str | None
    parameters: int | None
    conditions: int
    guidance: float | None
    passes: int | None
    seconds_per_call: float | None
    digest: str
    created: datetime

    @classmethod
    def of(cls, model: Model) -> Self:
        fields = asdict(model)
        return cls(**fields.pop("facts"), **{**fields, "shape": list(model.shape)})


class CurveOut(BaseModel):
    """The arc length in score cost, ``lengths`` over ``log_snrs``.

    ``samples`` states were taken at each level, from "data" or from the model's own "flow"; ``calls`` are the network
    sample-calls that it took.
    """

    process: dict[str, Any]
    kind: str
    log_snrs: list[float]
    lengths: list[float]
    samples: int
    source: str
    calls: int


class GridOut(BaseModel):
    """The ``times`` of ``nfe`` calls, nfe + 1 of them and falling, in units of the model's process."""

    format: Literal["fewstep.grid"]
    version: int
    model: str
    nfe: int
    blend: float
    times: list[float]
    curve: CurveOut
