"""What a metric is: what it keeps of each noise, and a value for any number of noises.

Scores, standard errors and comparisons need nothing else, so images are never kept: of each noise only a short row of
numbers stays, its observations, from which the value can be worked out again for every resample of the noises.

| metric | observations of a noise | compared with |
|---|---|---|
| `paired.Paired` | squared error (1,) | the teacher's sample of the same noise |
| `switched.SwitchRate` | projections of the sample and of the teacher's (2 p,) | all the teacher's samples |
| `distance.Distance` to a data set | features (F,) | statistics of the data set's features |
| `distance.Distance` to the teacher | features of the sample and of the teacher's (2 F,) | each other |
"""

import math
from typing import Protocol

import numpy as np
import torch

from fewstep.errors import InvalidInput

__all__ = ["RESAMPLES", "Metric", "bounded", "checked", "fewest", "value_of"]

RESAMPLES = 200  # for a standard error, which this many give to 5 %
LIMIT = 1e50  # of any entry; the third powers of products of larger ones overflow


class Metric(Protocol):
    """A way to score samples; of values less is better.

    - ``observe(samples, targets)``: the observations (n, F), float64, of samples (n, ...), with the teacher's samples
      (n, ...) of the same noises.
    - ``value(observations)``: the value of all of them.
    - ``values(observations, counts)``: the values (B,) of B resamples of the noises; ``counts`` (B, n) says how often
      each noise occurs in each.
    - ``standard_error(observations, times, seed)``: of the value; ``times`` is how many resamples it may draw.
    - ``resamples``: how many the ends of a 95 % interval want.
    - ``can_vanish``: whether good samples may be at zero or below, as distances between sets may; ratios are then
      bounded from below.

    The three that take observations raise `InvalidInput` where these are not finite or too few.
    """

    @property
    def resamples(self) -> int: ...
    @property
    def can_vanish(self) -> bool: ...

    def observe(self, samples: torch.Tensor, targets: torch.Tensor) -> np.ndarray: ...

    def value(self, observations: np.ndarray) -> float: ...

    def values(self, observations: np.ndarray, counts: np.ndarray) -> np.ndarray: ...

    def standard_error(self, observations: np.ndarray, times: int = RESAMPLES, seed: int = 0) -> float: ...


def fewest(metric: Metric, observations: np.ndarray) -> int:
    """From how many noises on a value may be shown, for observations (n, F) of any number of them.

    A metric says so by a method ``fewest(width)``, F being the width; one without has a value of any noise. The Fréchet
    distance wants twice as many noises as its features have dimensions, since its bias grows with their ratio.

    >>> from fewstep.search.metrics.frechet import Frechet
    >>> fewest(Frechet(), np.zeros((8, 2 * 64)))  # features of samples beside the teacher's
    128
    """
    rule = getattr(metric, "fewest", None)
    return int(rule(np.shape(observations)[1])) if rule else 1


def checked(observations: np.ndarray, fewest: int = 1, width: int | None = None) -> np.ndarray:
    """The observations (n, F) in float64; raises `InvalidInput` where they are too few, of another width, not finite.

    Entries beyond `LIMIT` count as infinite.
    """
    observations = np.asarray(observations, dtype=np.float64)
    shape = observations.shape
    if observations.ndim != 2 or len(observations) < fewest or (width is not None and shape[1] != width):
        wanted = f"(n, {'F' if width is None else width})"
        raise InvalidInput(f"a metric wants observations {wanted} of n >= {fewest} noises, got an array {shape}")
    finite = (np.abs(observations) < LIMIT).all(axis=1)
    if not finite.all():
        count, total = int((~finite).sum()), len(observations)
        raise InvalidInput(f"the observations of {count} of {total} noises are not finite: did samples diverge?")
    return observations


def value_of(metric: Metric, observations: np.ndarray) -> float:
    """The value of observations (n, F), infinite where one of them is not finite."""
    return metric.value(observations) if np.isfinite(observations).all() else math.inf


def bounded(observations: np.ndarray) -> np.ndarray:
    """The same with infinity in place of what `checked` counts as infinite.

    >>> bounded(np.array([[1.0, -1e60, np.nan]])).tolist()
    [[1.0, inf, inf]]
    """
    return np.where(np.abs(observations) < LIMIT, observations, np.inf)
