"""A model that searches may use, its state and its facts."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from fewstep.errors import InvalidInput, InvalidModel
from fewstep.values.fields import About, Inline

__all__ = ["PIPELINE", "Facts", "Model", "ModelState"]

PIPELINE = "pipeline"  # the source of a model whose weights are where it was tuned, and nowhere else


class ModelState(StrEnum):
    """Whether searches may use a model: submitted → ready | refused."""

    SUBMITTED = "submitted"
    READY = "ready"
    REFUSED = "refused"


@dataclass(frozen=True)
class Facts:
    """Properties of a model that do not identify it; None where they are not known yet."""

    network: Annotated[str | None, About("Class of the network")] = None
    prediction: Annotated[str | None, About("What the network predicts")] = None
    parameters: Annotated[int | None, About("Number of parameters")] = None
    conditions: Annotated[int, About("Stored conditions; 0: it has none")] = 0
    guidance: Annotated[float | None, About("Guidance scale")] = None
    passes: Annotated[int | None, About("Passes of the network in one call (2 with guidance)")] = None
    seconds_per_call: Annotated[float | None, About("Of one sample on the slot that checked the model", unit="s")] = (
        None
    )


@dataclass(frozen=True)
class Model:
    """A model, which searches may use once it is ready; in JSON its `Facts` are inline.

    A hub's model has the digest of its address and no shape until a runner has downloaded it; its id stays. One of the
    source `PIPELINE` was tuned in its user's process and has no weights at the service, which therefore cannot search
    it. Raises `InvalidModel`.
    """

    id: Annotated[str, About("First 16 digits of the digest")]
    name: str
    source: Annotated[str, About("zoo, folder, upload, program, hub or pipeline")]
    summary: str
    shape: Annotated[
        tuple[int, ...], About("Of one sample, without the batch; empty while the model is still to be fetched")
    ]
    process: Annotated[dict[str, Any], About("The noise law")]
    digest: Annotated[str, About("SHA-256 of weights and configuration, in hexadecimal")]
    created: datetime
    state: Annotated[ModelState, About("Searches may name it once it is ready")] = ModelState.READY
    reason: Annotated[str | None, About("Why it was refused, or is left to another runner")] = None
    facts: Annotated[Facts, Inline()] = Facts()

    def __post_init__(self) -> None:
        if len(self.digest) != 64 or not set(self.digest) <= set("0123456789abcdef"):
            raise InvalidModel(f"a model's digest is 64 lower-case hexadecimal digits, got {self.digest[:80]!r}")
        if not (self.id == self.digest[:16] or (self.source == "hub" and re.fullmatch("[0-9a-f]{16}", self.id))):
            raise InvalidModel(f"a model's id is the first 16 digits of its digest, got {self.id[:80]!r}")
        if not (self.shape or self.unfetched) or any(type(size) is not int or size < 1 for size in self.shape):
            raise InvalidModel(f"a model's shape is a tuple of positive whole numbers, got {self.shape!r}")
        if self.created.tzinfo is None or self.created.utcoffset() != UTC.utcoffset(None):
            raise InvalidInput(f"times are in UTC, got {self.created!r}: use datetime.now(UTC)")

    @property
    def unfetched(self) -> bool:
        """Whether its files are still to be downloaded from a hub."""
        return self.source == "hub" and not self.shape and self.state is not ModelState.READY
