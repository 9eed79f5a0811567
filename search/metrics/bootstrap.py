"""Standard errors and intervals of any metric: the noises are drawn again with replacement.

Two schedules measured on the same noises are compared in pairs: every resample takes the same noises for both, so that
what is hard for both cancels. Resamples differ in their noises only; the reference of a distribution metric is kept.
"""

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.problem import Score
from search.metrics import endpoint
from search.metrics.base import Metric

__all__ = ["difference_interval", "interval", "ratio_interval", "resample", "score"]

RESAMPLES = 200  # for a standard error, which this many give to 5 %
PAIRED = 2000  # for the ends of a 95 % interval
LEVEL = 0.95


def resample(noises: int, times: int, seed: int) -> np.ndarray:
    """How often each of the noises occurs in each resample: (times, noises), every row with sum ``noises``.

    >>> resample(4, 2, seed=0).sum(axis=1).tolist()
    [4, 4]
    """
    picks = np.random.default_rng(seed).integers(noises, size=(times, noises))
    return np.stack([np.bincount(row, minlength=noises) for row in picks])


def score(metric: Metric, rows: np.ndarray, calls: int, seed: int = 0, times: int = RESAMPLES) -> Score:
    """The score of rows (n, F) that cost ``calls`` sample-calls, its standard error from ``times`` resamples.

    Raises `InvalidInput` where the metric cannot use the rows: too few, or not finite.
    """
    if isinstance(metric, endpoint.Endpoint):
        return endpoint.score(rows[:, 0], calls)  # whose standard error is known in closed form
    value = float(metric.values(rows, np.ones((1, len(rows)), dtype=int))[0])
    spread = float(metric.values(rows, resample(len(rows), times, seed)).std(ddof=1)) if len(rows) > 1 else 0.0
    return Score(value, spread, len(rows), calls)


def interval(metric: Metric, rows: np.ndarray, seed: int, times: int = PAIRED) -> tuple[float, float]:
    """95 % interval of the value of rows (n, F).

    Resamples hold rows twice, which makes a distance between laws larger: they are moved back, so that their mean is
    the value.
    """
    values = metric.values(rows, resample(len(rows), times, seed))
    return _ends(values - values.mean() + metric.values(rows, np.ones((1, len(rows)), dtype=int))[0])


def ratio_interval(
    metric: Metric, rows: np.ndarray, baseline: np.ndarray, seed: int, times: int = PAIRED, least: float = 0.0
) -> tuple[float, float]:
    """Paired 95 % interval of value/baseline, both on the same noises; values below ``least`` count as that.

    Metrics that can be negative or zero want a positive ``least``.
    """
    first, second = _both(metric, rows, baseline, seed, times)
    return _ends(np.maximum(first, least) / np.maximum(second, least))


def difference_interval(
    metric: Metric, rows: np.ndarray, baseline: np.ndarray, seed: int, times: int = PAIRED
) -> tuple[float, float]:
    """Paired 95 % interval of value − baseline, both on the same noises; for any metric."""
    first, second = _both(metric, rows, baseline, seed, times)
    return _ends(first - second)


def _both(
    metric: Metric, rows: np.ndarray, baseline: np.ndarray, seed: int, times: int
) -> tuple[np.ndarray, np.ndarray]:
    if rows.shape != baseline.shape:
        raise InvalidInput(f"a paired comparison wants rows of the same noises, got {rows.shape} and {baseline.shape}")
    counts = resample(len(rows), times, seed)
    return metric.values(rows, counts), metric.values(baseline, counts)


def _ends(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, (0.5 - LEVEL / 2, 0.5 + LEVEL / 2))
    return float(low), float(high)
