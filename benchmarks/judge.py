"""Quality of a ranker's forecasts: means over random splits of trials into training and test trials."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau

from fewstep.predictor.report import coverage
from fewstep.predictor.train import log_score
from fewstep.values.trial import Rank, Trial

__all__ = ["MOST_TRAINING", "judge"]

MOST_TRAINING = 200  # trials of each split; the others are test trials, however many of these are used


def judge(
    rank: Rank, trials: Sequence[Trial], count: int, splits: int, others: Sequence[Trial] = ()
) -> dict[str, float]:
    """Means over the splits: τ on all test trials and on their best quarter, coverage, and recall of the best ten in
    the 25 ranked first; also the lowest τ. The ranker learns from ``count`` training trials and from ``others``.
    """
    taus, quarters, covers, recalls = [], [], [], []
    for split in range(splits):
        order = np.random.default_rng(split).permutation(len(trials))
        training, test = [trials[i] for i in order[:count]], [trials[i] for i in order[MOST_TRAINING:]]
        mean, std = rank([*others, *training], [trial.schedule for trial in test])
        truth = np.array([log_score(trial) for trial in test])
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
