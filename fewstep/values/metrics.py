"""Names that a service's metrics are made of."""

from dataclasses import dataclass
from typing import Annotated

from fewstep.values.fields import About

__all__ = ["Metrics"]


@dataclass(frozen=True)
class Metrics:
    """Names that make up a metric, as in "frechet:digits:teacher"; paired errors stand alone."""

    metrics: Annotated[tuple[str, ...], About("First parts")]
    features: Annotated[tuple[str, ...], About("Second parts")]
    references: Annotated[tuple[str, ...], About("Third parts")]
