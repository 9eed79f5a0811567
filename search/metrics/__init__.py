"""Ways to score samples, by name; of every one less is better.

| name | metric | features | reference |
|---|---|---|---|
| ``endpoint`` | root mean square distance to the teacher's ends | – | – |
| ``frechet`` | squared Fréchet distance | yes | moments or rows |
| ``kid`` | unbiased kernel distance, polynomial | yes | rows |
| ``cmmd`` | unbiased kernel distance, Gaussian | yes | rows |
| ``wasserstein`` | sliced Wasserstein distance | yes | rows |
"""

from fewstep.errors import InvalidInput, UnknownName
from fewstep.search.metrics.base import Cost, Metric, cost
from fewstep.search.metrics.endpoint import Endpoint
from fewstep.search.metrics.features import Features, pixels
from fewstep.search.metrics.frechet import Frechet
from fewstep.search.metrics.kernel import KernelDistance, polynomial
from fewstep.search.metrics.reference import Reference
from fewstep.search.metrics.wasserstein import SlicedWasserstein
from fewstep.values.objective import METRICS

__all__ = ["Cost", "Metric", "cost", "named"]


def named(name: str, reference: Reference | None = None, features: Features = pixels) -> Metric:
    """The metric of that name; all but the endpoint error want a ``reference`` made with the same ``features``.

    Raises `UnknownName`, and `InvalidInput` where the reference is missing.

    >>> named("endpoint").paired
    True
    """
    if name not in METRICS:
        raise UnknownName("metric", name, METRICS)
    if name == "endpoint":
        return Endpoint()
    if reference is None:
        raise InvalidInput(f"{name} compares with a data set, got none: give the reference's statistics")
    if name == "frechet":
        return Frechet(features, reference)
    if name == "wasserstein":
        return SlicedWasserstein(features, reference)
    return KernelDistance(features, reference, polynomial if name == "kid" else None)
