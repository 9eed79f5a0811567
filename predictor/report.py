"""How good forecasts were: Kendall's τ on trials that the ranker had not seen, and how often its intervals held."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau, norm

from fewstep.errors import InvalidInput
from fewstep.predictor.train import log_score
from fewstep.values.trial import Rank, Trial

__all__ = ["LEVEL", "Report", "coverage", "cross_validate", "kendall_tau"]

LEVEL = 0.8  # of the intervals whose coverage is reported
FEWEST = 3  # forecasts; τ of two is a coin


@dataclass(frozen=True)
class Report:
    """``tau`` (None where it has no meaning) and ``coverage`` of the 80 % intervals, over ``forecasts`` forecasts."""

    tau: float | None
    coverage: float
    forecasts: int


def kendall_tau(trials: Sequence[Trial]) -> float | None:
    """Kendall's τ-b between forecasts made before evaluation and what was measured.

    Trials without a forecast or without a score are left out; None below three, or where either side is all alike.
    """
    pairs = [(t.predicted, log_score(t)) for t in trials if t.predicted is not None and t.score is not None]
    return _tau(*np.array(pairs, dtype=float).reshape(-1, 2).T)


def coverage(means: np.ndarray, stds: np.ndarray, log_scores: np.ndarray, level: float = LEVEL) -> float:
    """Share of measured log scores (n,) inside their forecasts' central intervals of probability ``level``.

    >>> float(coverage(np.zeros(4), np.ones(4), np.array([0.0, 1.0, 1.3, -2.0])))
    0.5
    """
    reach = norm.ppf(0.5 + level / 2)
    return float(np.mean(np.abs(log_scores - means) <= reach * stds))


def cross_validate(rank: Rank, trials: Sequence[Trial], folds: int = 5, seed: int = 0) -> Report:
    """Forecast each scored trial from the other folds. Raises `InvalidInput` where there are fewer than ``folds``."""
    scored = [trial for trial in trials if trial.score is not None]
    if not 2 <= folds <= len(scored):
        raise InvalidInput(f"cross-validation wants 2 <= folds <= scored trials, got {folds} and {len(scored)}")
    means, stds = np.zeros(len(scored)), np.zeros(len(scored))
    for fold in np.array_split(np.random.default_rng(seed).permutation(len(scored)), folds):
        held = set(fold.tolist())
        others = [trial for i, trial in enumerate(scored) if i not in held]
        means[fold], stds[fold] = rank(others, [scored[i].schedule for i in fold])
    truth = np.array([log_score(trial) for trial in scored])
    return Report(_tau(means, truth), coverage(means, stds, truth), len(scored))


def _tau(forecasts: np.ndarray, truth: np.ndarray) -> float | None:
    if len(forecasts) < FEWEST:
        return None
    tau = float(kendalltau(forecasts, truth).statistic)
    return None if math.isnan(tau) else tau
