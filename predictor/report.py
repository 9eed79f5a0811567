"""Quality of forecasts: Kendall's τ against the scores measured later, and coverage of the intervals."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau, norm

from fewstep.predictor.train import log_score
from fewstep.values.trial import Trial

__all__ = ["LEVEL", "coverage", "kendall_tau"]

LEVEL = 0.8  # of the intervals whose coverage is reported
FEWEST = 3  # forecasts; τ of two is a coin


def kendall_tau(trials: Sequence[Trial]) -> float | None:
    """Kendall's τ-b between forecasts made before evaluation and measured scores.

    Trials without a forecast or without a score are left out; None below three, or where all forecasts or all
    scores are equal.
    """
    pairs = [(t.predicted, log_score(t)) for t in trials if t.predicted is not None and t.score is not None]
    if len(pairs) < FEWEST:
        return None
    tau = float(kendalltau(*np.array(pairs, dtype=float).T).statistic)
    return None if math.isnan(tau) else tau


def coverage(means: np.ndarray, stds: np.ndarray, log_scores: np.ndarray, level: float = LEVEL) -> float:
    """Share of measured log scores (n,) inside their forecasts' central intervals of probability ``level``.

    >>> float(coverage(np.zeros(4), np.ones(4), np.array([0.0, 1.0, 1.3, -2.0])))
    0.5
    """
    reach = norm.ppf(0.5 + level / 2)
    return float(np.mean(np.abs(log_scores - means) <= reach * stds))
