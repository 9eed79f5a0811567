"""How well a ranker forecasts trials that it has not seen: means over random splits into known and unseen."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau

from fewstep.predictor.report import coverage
from fewstep.predictor.train import log_score
from fewstep.values.trial import Rank, Trial

__all__ = ["MOST_KNOWN", "judge"]

MOST_KNOWN = 200  # trials of each split; the others are unseen, however many are known


def judge(
    rank: Rank, trials: Sequence[Trial], count: int, splits: int, beside: Sequence[Trial] = ()
) -> dict[str, float]:
    """Means of τ, of all unseen and of their best quarter, of coverage, and of how many of the best ten are among the
    25 ranked first; the lowest τ. ``count`` of the trials are known, and ``beside`` them others that are never asked.
    """
    taus, quarters, covers, recalls = [], [], [], []
    for split in range(splits):
        order = np.random.default_rng(split).permutation(len(trials))
        known, unknown = [trials[i] for i in order[:count]], [trials[i] for i in order[MOST_KNOWN:]]
        mean, std = rank([*beside, *known], [trial.schedule for trial in unknown])
        truth = np.array([log_score(trial) for trial in unknown])
        best = np.argsort(truth)[: len(truth) // 4]
        taus.append(kendalltau(mean, truth).statistic)
        quarters.append(kendalltau(mean[best], truth[best]).statistic)
        covers.append(coverage(mean, std, truth))
        recalls.append(len(set(best[:10]) & set(np.argsort(mean)[:25])) / 10)
    names = ("tau", "tau_best_quarter", "coverage_of_80_percent", "recall_of_10_in_25")
    means = {
        name: float(np.mean(values)) for name, values in zip(names, (taus, quarters, covers, recalls), strict=True)
    }
    return {**means, "tau_lowest": float(min(taus))}
