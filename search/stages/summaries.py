"""What is published of a schedule's samples on the test noises: summaries with intervals, and a guard.

All are of the same samples. A Fréchet distance is shown only from at least twice as many noises as its features have
dimensions: below that it is mostly bias.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

from fewstep.search.metrics.base import RESAMPLES, Metric, fewest
from fewstep.search.metrics.bootstrap import interval, resample
from fewstep.search.metrics.frechet import Frechet
from fewstep.search.state import SearchState
from fewstep.values.objective import Objective
from fewstep.values.result import Summary
from fewstep.values.score import Interval

__all__ = ["Guard", "Metrics", "guard", "is_worse", "published", "summarised"]

NAMES = ("typical", "median", "rms", "p95", "switch")
ROUGH = 100  # resamples of a distance between sets, each of which wants a decomposition
CRITICAL = 2.326  # standard errors: 1 % of the normal law, one-sided

Observations = Mapping[Objective, np.ndarray]
Metrics = Mapping[Objective, Metric]


def published(state: SearchState) -> list[Objective]:
    """The metrics of the summaries: paired errors, the switch rate, the coupled Fréchet distance where the test noises
    are enough for its features."""
    problem = state.problem
    features = [each.features for each in problem.objectives if each.features]
    names = [Objective(name) for name in NAMES]
    if features or Frechet().fewest(2 * state.teacher.size) <= problem.test_noises:
        names.append(Objective("frechet", *features[:1]))
    return names


def summarised(
    observations: Observations, metrics: Metrics, objectives: Sequence[Objective], seed: int
) -> tuple[Summary, ...]:
    """The summaries of one schedule by its observations, without those that are mostly bias."""
    result = list[Summary]()
    for objective in objectives:
        rows, metric = observations[objective], metrics[objective]
        if len(rows) < fewest(metric, rows):
            continue
        value = metric.value(rows)
        if objective.metric == "switch":
            low, high = _share(value, len(rows))
        elif objective.features:
            low, high = interval(metric, rows, seed, ROUGH, accelerated=False)
        else:
            low, high = interval(metric, rows, seed)
        result.append(Summary(str(objective), value, Interval(low, high)))
    return tuple(result)


class Guard(NamedTuple):
    """Whether a winner may be published: ``verdict`` says why not; ``warnings`` are other metrics that it worsens."""

    verdict: str | None
    warnings: tuple[str, ...]


def guard(winner: Observations, baseline: Observations, metrics: Metrics, objective: Objective) -> Guard:
    """A winner is published unless it is worse than the baseline on the same noises, at the one-sided 99 % level, by
    the objective or by the typical error; one that diverges is worse by all."""
    deciding = {objective, Objective("typical")}
    worse = [each for each in winner if is_worse(metrics[each], winner[each], baseline[each])]
    reasons = [str(each) for each in worse if each in deciding]
    verdict = f"nothing better was found: the best candidate is worse by {' and '.join(reasons)}" if reasons else None
    return Guard(verdict, tuple(str(each) for each in worse if each not in deciding))


def is_worse(metric: Metric, observations: np.ndarray, baseline: np.ndarray) -> bool:
    """Whether observations (n, F) are worse than the baseline's on the same noises at the one-sided 99 % level, the
    difference beside its spread over resamples of the noises."""
    if not np.isfinite(observations).all():
        return True
    difference = metric.value(observations) - metric.value(baseline)
    if difference <= 0:
        return False
    counts = resample(len(observations), RESAMPLES, seed=0)
    spread = (metric.values(observations, counts) - metric.values(baseline, counts)).std(ddof=1)
    return bool(difference > CRITICAL * spread)


def _share(value: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share: resamples of noises without any switch would say that there never is one."""
    ends = binomtest(round(value * count), count).proportion_ci(method="wilson")
    return float(ends.low), float(ends.high)
