"""Names that a service's metrics are made of."""

from dataclasses import dataclass

from fewstep.values.fields import about

__all__ = ["Metrics"]


@dataclass(frozen=True)
class Metrics:
    """Names that make up a metric, as in "frechet:digits:teacher"; "endpoint" stands alone."""

    metrics: tuple[str, ...] = about("First parts")
    features: tuple[str, ...] = about("Second parts")
    references: tuple[str, ...] = about("Third parts")
