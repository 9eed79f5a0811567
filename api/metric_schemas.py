"""JSON shapes of metrics: one by its text, and the names that such texts are made of."""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, Field

from fewstep.values.catalogue import Catalogue
from fewstep.values.objective import METRICS, PATTERN, Measure

__all__ = ["Metric", "MetricsOut"]


def _completed(metric: str) -> str:
    return str(Measure.parse(metric))


Metric = Annotated[str, Field(max_length=200, json_schema_extra={"pattern": PATTERN}), AfterValidator(_completed)]


class MetricsOut(BaseModel):
    """Names that make up a metric, as in "frechet:digits:teacher"; "endpoint" stands alone."""

    metrics: tuple[str, ...]
    features: tuple[str, ...]
    references: tuple[str, ...]

    @classmethod
    def of(cls, catalogue: Catalogue) -> Self:
        return cls(metrics=METRICS, features=catalogue.features, references=catalogue.references)
