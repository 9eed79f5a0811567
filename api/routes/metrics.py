"""Metrics: what a search may lower or report here."""

from fastapi import APIRouter

from api.deps import TheCatalogue
from api.metric_schemas import MetricsOut

__all__ = ["router"]

router = APIRouter(prefix="/v1/metrics", tags=["searches"])


@router.get("")
def list_metrics(catalogue: TheCatalogue) -> MetricsOut:
    """Metrics, and the features and references that a search's `metric` may name after them."""
    return MetricsOut.of(catalogue)
