"""What every metric is: a rule for what to keep of each noise, and a value for any number of noises.

Scores, standard errors and comparisons need nothing else, so images are never kept: of each noise only a short row of
numbers stays, from which the value can be worked out again for every resample of the noises.

| metric | row of a noise | compared with | what one more evaluation costs |
|---|---|---|---|
| `endpoint.Endpoint` | squared error | the teacher's end of the same noise | n·nfe, once `teacher.CALLS` n more |
| `frechet.Frechet` | features (F,) | mean and covariance of a reference | n·nfe |
| `kernel.KernelDistance` | features (F,) | rows of a reference | n·nfe |
| `wasserstein.SlicedWasserstein` | features (F,) | rows of a reference | n·nfe |
"""

from typing import NamedTuple, Protocol

import numpy as np
import torch

from fewstep.errors import InvalidInput
from fewstep.search.evaluation import teacher

__all__ = ["Cost", "Metric", "checked", "cost", "value"]

LIMIT = 1e50  # of any entry; the third powers of products of larger ones overflow


class Metric(Protocol):
    """A way to score samples. ``smaller_is_better`` and ``paired`` (compares with the teacher's ends) are constants.

    ``observe(samples, ends)`` gives the rows (n, F), float64, to keep of samples (n, ...); ``ends`` are the teacher's,
    or None where ``paired`` is false. ``values(rows, counts)`` gives the values (B,) of B samples of the noises:
    ``counts`` (B, n) says how often each row occurs in each. It raises `InvalidInput` for rows that are not finite or
    too few.
    """

    @property
    def name(self) -> str: ...
    @property
    def smaller_is_better(self) -> bool: ...
    @property
    def paired(self) -> bool: ...

    def observe(self, samples: torch.Tensor, ends: torch.Tensor | None) -> np.ndarray: ...

    def values(self, rows: np.ndarray, counts: np.ndarray) -> np.ndarray: ...


class Cost(NamedTuple):
    """Network sample-calls: ``once`` for a set of noises, ``each`` for every schedule measured on it."""

    once: int
    each: int


def cost(metric: Metric, noises: int, nfe: int) -> Cost:
    """What a metric costs on ``noises`` start noises with ``nfe`` calls each.

    >>> from search.metrics.endpoint import Endpoint
    >>> cost(Endpoint(), noises=128, nfe=5)
    Cost(once=12288, each=640)
    """
    return Cost(noises * teacher.CALLS if metric.paired else 0, noises * nfe)


def value(metric: Metric, rows: np.ndarray) -> float:
    """The value of rows (n, F), each taken once; raises `InvalidInput` as the metric does."""
    return float(metric.values(rows, np.ones((1, len(rows)), dtype=int))[0])


def checked(rows: np.ndarray, fewest: int = 1, width: int | None = None) -> np.ndarray:
    """The rows (n, F) in float64; raises `InvalidInput` where they are too few, of another width, or not finite.

    Entries beyond `LIMIT` count as infinite.
    """
    rows = np.asarray(rows, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < fewest or (width is not None and rows.shape[1] != width):
        wanted = f"(n, {'F' if width is None else width})"
        raise InvalidInput(f"a metric wants rows {wanted} of n >= {fewest} noises, got an array {rows.shape}")
    bad = ~(np.abs(rows) < LIMIT).all(axis=1)
    if bad.any():
        raise InvalidInput(f"the rows of {int(bad.sum())} of {len(rows)} noises are not finite: did samples diverge?")
    return rows
