"""How good forecasts were, on cases counted by hand."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from fewstep import processes, solvers
from fewstep.predictor import kendall_tau
from fewstep.predictor.report import coverage
from fewstep.predictor.train import log_score
from fewstep.values.score import Score
from fewstep.values.trial import Rank, Trial
from tests.trials import trial_of

SCHEDULES = [
    solvers.named(name).schedule(processes.VPLinear(), nfe, grid)
    for name in ("ddim", "dpmpp-2m")
    for nfe in (4, 5, 6)
    for grid in ("time", "edm")
]


def trial(number: int, log_score: float | None, predicted: float | None = None) -> Trial:
    score = None if log_score is None else Score(float(np.exp(log_score)), 0.0, 1, 1)
    return trial_of(number, SCHEDULES[number % len(SCHEDULES)], score, "test", predicted)


def test_tau_by_hand():
    """Of six pairs five agree and one does not: τ = (5 − 1)/6; failures and trials without forecast do not count."""
    pairs = [(1.0, 1.0), (3.0, 2.0), (2.0, 3.0), (4.0, 4.0)]
    trials = [trial(i, measured, predicted) for i, (measured, predicted) in enumerate(pairs)]
    trials += [trial(4, None, 0.0), trial(5, -9.0, None)]
    assert kendall_tau(trials) == pytest.approx(4 / 6)


def test_tau_of_a_reversed_order_is_minus_one():
    """Forecasts in the opposite order of what was measured."""
    assert kendall_tau([trial(i, float(i), float(-i)) for i in range(5)]) == pytest.approx(-1)


@pytest.mark.parametrize(
    "trials",
    [[], [trial(0, 1.0, 1.0), trial(1, 2.0, 2.0)], [trial(i, float(i), 1.0) for i in range(5)]],
    ids=["none", "two", "all alike"],
)
def test_tau_without_meaning_is_none(trials: list[Trial]):
    """Below three forecasts, or where they do not order anything."""
    assert kendall_tau(trials) is None


def test_coverage_by_hand():
    """An 80 % interval reaches 1.2816 standard deviations either way."""
    inside = coverage(np.zeros(4), np.array([1.0, 1.0, 2.0, 2.0]), np.array([1.28, -1.29, 2.56, 9.0]))
    assert inside == 0.5


def test_cross_validated_ranker_on_the_digits_mixture(rank: Rank, trials: list[Trial]):
    """On real trials, each forecast from the other two thirds, τ is high and intervals hold about as often as they
    say."""
    means, stds = np.zeros(len(trials)), np.zeros(len(trials))
    for fold in np.array_split(np.random.default_rng(0).permutation(len(trials)), 3):
        others = [trial for i, trial in enumerate(trials) if i not in set(fold.tolist())]
        means[fold], stds[fold] = rank(others, [trials[i].schedule for i in fold])
    truth = np.array([log_score(trial) for trial in trials])
    assert kendalltau(means, truth).statistic > 0.78
    assert 0.6 <= coverage(means, stds, truth) <= 0.95
