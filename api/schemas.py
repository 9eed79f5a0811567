"""Request bodies of searches, models and results from outside, and the response of a measured grid."""

import reprlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag, WrapValidator

from api.shapes import Body, answer, field_type, with_fields_of
from fewstep.values.codec import decode
from fewstep.values.problem import Problem
from fewstep.values.publication import Publication
from storage.store import MAX_PRIORITY

__all__ = ["FolderIn", "GridOut", "HubIn", "Metric", "ModelIn", "PublicationIn", "SearchIn", "ZooIn"]


Metric = field_type(Problem, "metric")


@with_fields_of(Problem, several=("nfe",))
class SearchIn(Body):
    """What to search for and how much to spend."""

    nfe: int | list[int]
    priority: int = Field(0, ge=-MAX_PRIORITY, le=MAX_PRIORITY, description="Higher goes first")

    def problems(self) -> list[Problem]:
        """The problem of each number of calls, fewest first; raises `InvalidInput` where fields are at odds."""
        calls = sorted(set(self.nfe)) if isinstance(self.nfe, list) else [self.nfe]
        fields = self.model_dump(exclude={"priority", "nfe"})
        return [decode(Problem, {**fields, "nfe": nfe}, strict=True) for nfe in calls]


class ZooIn(Body):
    """A model of the zoo."""

    source: Literal["zoo"] = "zoo"
    name: str = Field(min_length=1, max_length=100, examples=["digits-mixture"])


class FolderIn(Body):
    """A model folder on the service's machine, below one of the folders that its operator lists."""

    source: Literal["folder"]
    name: str = Field(min_length=1, max_length=500, examples=["team/ddpm-cifar10"], description="Path below the root")


class HubIn(Body):
    """A repository of the hub at one commit; only where the operator allows it."""

    source: Literal["hub"]
    repo: str = Field(
        pattern=r"^[0-9A-Za-z_-][0-9A-Za-z_.-]{0,95}/[0-9A-Za-z_-][0-9A-Za-z_.-]{0,95}$",
        examples=["google/ddpm-cifar10-32"],
    )
    commit: str = Field(pattern=r"^[0-9a-f]{40}$", description="The commit's whole SHA-1")


def _source(value: Any) -> str:
    """The tag of a body; always text, so that the error can list the known ones."""
    source = value.get("source", "zoo") if isinstance(value, dict) else getattr(value, "source", None)
    return source if isinstance(source, str) else reprlib.repr(source)


ModelIn = Annotated[
    Annotated[ZooIn, Tag("zoo")] | Annotated[FolderIn, Tag("folder")] | Annotated[HubIn, Tag("hub")],
    Discriminator(_source),
]


PublicationIn = Annotated[
    dict[str, Any],
    WrapValidator(lambda content, check: check(content), json_schema_input_type=answer(Publication)),
]
"""The JSON of a `Publication`, for the codec to read; entries with a default may be left out."""


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
