"""The metrics that searches may use as objective or report."""

from fastapi import APIRouter

from api.deps import TheCatalogue
from api.replies import ValueRoute
from fewstep.values.metrics import Metrics
from fewstep.values.objective import METRICS

__all__ = ["router"]

router = APIRouter(prefix="/v1/metrics", tags=["searches"], route_class=ValueRoute)


@router.get("")
def list_metrics(catalogue: TheCatalogue) -> Metrics:
    """Metrics, and the features and references that a search's `metric` may name after them."""
    return Metrics(tuple(METRICS), catalogue.features, catalogue.references)
