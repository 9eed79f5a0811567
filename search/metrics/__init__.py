"""Ways to score samples, from the text of an objective; of every one less is better.

| name | metric | reference |
|---|---|---|
| ``mean``, ``typical``, ``trimmed``, ``saturating``, ``rms``, ``median``, ``p95`` | summaries of the distances to \
the teacher's samples of the same noises | – |
| ``switch`` | share of samples that end nearer to another noise's teacher target | – |
| ``frechet`` | squared Fréchet distance of features | the teacher, moments or images |
| ``kid`` | unbiased kernel distance of features, polynomial | the teacher or images |
| ``cmmd`` | unbiased kernel distance of features, Gaussian | the teacher or images |
| ``wasserstein`` | sliced Wasserstein distance of features | the teacher or images |

The names are those of `fewstep.values.objective.METRICS`, which says how to add one.
"""

from functools import partial
from pathlib import Path

from fewstep.search.metrics import spaces
from fewstep.search.metrics.base import Metric
from fewstep.values.catalogue import Catalogue
from fewstep.values.objective import METRICS, Objective

__all__ = ["Metric", "of"]


def of(objective: Objective, folder: Path | None = None, device: str = "cpu") -> Metric:
    """The metric of an objective; workers observe with it, and whoever compares their observations has its values.

    ``folder`` holds the operator's features and references (`fewstep.values.catalogue`), ``device`` is that of the
    samples. Networks and statistics are loaded when they are first used, so that workers need no statistics and the
    others no networks. Raises `UnknownName` for features or a reference that are not there.

    >>> of(Objective.parse("typical")).can_vanish
    False
    """
    Catalogue(folder).check([objective])
    kind = METRICS[objective.metric]
    if not objective.features:
        metric: Metric = kind()
        return metric
    space = spaces.FeatureSpace(objective.features, folder, device)
    metric = kind(space, None if objective.coupled else partial(spaces.reference, objective.reference, space))
    return metric
