"""The ranker on the real digits mixture: how well it ranks, and what it does with odd input."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

from fewstep import Schedule, processes, solvers
from fewstep.errors import InvalidInput, UnknownName
from fewstep.predictor import ranker
from fewstep.predictor.report import coverage
from fewstep.predictor.train import ENOUGH, log_score
from fewstep.timeshift import TimeShift
from fewstep.trajectory import Trajectories
from fewstep.values.forecast import Forecasts
from fewstep.values.score import Score
from fewstep.values.trial import Rank, Trial
from tests.trials import trial_of, with_schedule


def schedules(trials: Sequence[Trial]) -> list[Schedule]:
    return [trial.schedule for trial in trials]


def tau(forecast: Forecasts, trials: Sequence[Trial]) -> float:
    return float(kendalltau(forecast.mean, [log_score(trial) for trial in trials]).statistic)


def assert_same(first: Forecasts, second: Forecasts) -> None:
    np.testing.assert_array_equal(first.mean, second.mean)
    np.testing.assert_array_equal(first.std, second.std)


def test_physics_alone_ranks_well(rank: Rank, unseen: list[Trial]):
    """With nothing evaluated, unseen schedules are already ranked far better than by chance."""
    assert tau(rank([], schedules(unseen)), unseen) > 0.7


def test_physics_alone_forecasts_the_level(rank: Rank, unseen: list[Trial]):
    """With nothing evaluated, forecasts are in the units of log(score): right to a third in the median."""
    forecast = rank([], schedules(unseen))
    assert abs(np.median(forecast.mean - [log_score(trial) for trial in unseen])) < np.log(4 / 3)


def test_a_hundred_trials_rank_unseen_schedules(rank: Rank, known: list[Trial], unseen: list[Trial]):
    """After 100 trials Kendall's τ on unseen schedules is high."""
    assert tau(rank(known, schedules(unseen)), unseen) > 0.78


def test_each_feature_set_ranks_and_physics_ranks_best(
    trajectories: Trajectories, rank: Rank, known: list[Trial], unseen: list[Trial]
):
    """τ after 100 trials rises from the tableau alone to replay to all physics."""
    rankers = (*(ranker(trajectories, features=features) for features in ("tableau", "replay")), rank)
    taus = [tau(each(known, schedules(unseen)), unseen) for each in rankers]
    assert 0.2 < taus[0] < taus[1] < taus[2]


def test_intervals_hold_about_as_often_as_they_say(rank: Rank, known: list[Trial], unseen: list[Trial]):
    """After 40 and after 100 trials the 80 % intervals cover 70 to 90 % of what is measured."""
    truth = np.array([log_score(trial) for trial in unseen])
    for count in (40, 100):
        mean, std = rank(known[:count], schedules(unseen))
        assert 0.7 <= coverage(mean, std, truth) <= 0.9


def test_a_score_below_its_error_counts_as_that_error():
    """Unbiased distances can be negative, and what is smaller than its standard error cannot be told from it."""
    schedule = solvers.named("ddim").schedule(processes.VPLinear(), nfe=4)
    for value in (-0.5, 0.0, 0.01):
        assert log_score(trial_of(0, schedule, Score(value, 0.02, 64, 256), "")) == pytest.approx(np.log(0.02))


def test_certainty_grows_with_evidence(rank: Rank, known: list[Trial], unseen: list[Trial]):
    """Standard deviations shrink from nothing evaluated to a few trials to a hundred."""
    stds = [rank(known[:count], schedules(unseen)).std.mean() for count in (0, ENOUGH + 4, len(known))]
    assert stds[0] > stds[1] > stds[2] > 0


@pytest.mark.parametrize("count", [0, 1, 5, ENOUGH - 1, ENOUGH, 40])
def test_any_number_of_trials_will_do(rank: Rank, known: list[Trial], unseen: list[Trial], count: int):
    """Forecasts are finite and rank well from the first trial on."""
    forecast = rank(known[:count], schedules(unseen))
    assert np.all(np.isfinite(forecast.mean))
    assert np.all(forecast.std > 0)
    assert tau(forecast, unseen) > 0.65


def test_forecasts_depend_on_arguments_and_seed_only(
    trajectories: Trajectories, known: list[Trial], unseen: list[Trial]
):
    """A fresh ranker agrees to the bit with one that has answered other questions before; another seed differs."""
    wanted, trials = schedules(unseen), known[:30]
    used = ranker(trajectories, seed=3)
    used([], wanted[::-1])
    used(known[:20], wanted[5:20])
    expected = ranker(trajectories, seed=3)(trials, wanted)
    assert_same(used(trials, wanted), expected)
    assert_same(used(trials, wanted), expected)
    assert not np.array_equal(ranker(trajectories, seed=4)(trials, wanted).mean, expected.mean)


def test_new_scores_for_the_same_schedules_are_noticed(rank: Rank, known: list[Trial], unseen: list[Trial]):
    """A model fitted before is not used again where a score has changed."""
    before = rank(known[:40], schedules(unseen))
    worse = [replace(t, score=replace(t.score, value=2 * t.score.value)) for t in known[:40] if t.score is not None]
    after = rank(worse, schedules(unseen))
    np.testing.assert_allclose(np.median(after.mean - before.mean), np.log(2), atol=0.2)


def test_failed_trials_are_left_out(trajectories: Trajectories, rank: Rank, known: list[Trial], unseen: list[Trial]):
    """Trials without a score change nothing, even where all failed."""
    mixed = [replace(t, score=None, reason="worker lost") if t.number % 3 == 0 else t for t in known[:45]]
    scored = [trial for trial in mixed if trial.score is not None]
    wanted, fresh = schedules(unseen), ranker(trajectories)
    assert_same(fresh(mixed, wanted), rank(scored, wanted))
    failed = [replace(trial, score=None) for trial in known]
    assert_same(fresh(failed, wanted), rank([], wanted))


def test_a_perfect_score_is_survived(rank: Rank, known: list[Trial], unseen: list[Trial]):
    """A score of zero, whose logarithm is infinite, leaves forecasts finite."""
    perfect = replace(known[0], score=Score(0.0, 0.0, 96, 576))
    assert np.all(np.isfinite(rank([perfect, *known[1:30]], schedules(unseen)).mean))


def test_each_number_of_calls_is_ranked_by_itself(
    trajectories: Trajectories, rank: Rank, known: list[Trial], unseen: list[Trial], short: list[Schedule]
):
    """Candidates of several lengths in one question get what they would get alone."""
    long = schedules(unseen)[: len(short)]
    mixed = [schedule for pair in zip(short, long, strict=True) for schedule in pair]
    together = ranker(trajectories)(known[:30], mixed)
    assert_same(Forecasts(together.mean[::2], together.std[::2]), rank(known[:30], short))
    assert_same(Forecasts(together.mean[1::2], together.std[1::2]), rank(known[:30], long))


def test_no_candidates_no_forecasts(rank: Rank, known: list[Trial]):
    """An empty question has an empty answer."""
    assert rank(known, []).mean.shape == (0,)


def test_schedules_of_another_process_are_refused(rank: Rank):
    """The message names both processes."""
    other = solvers.named("ddim").schedule(processes.Cosine(), nfe=6)
    with pytest.raises(InvalidInput, match=r"Cosine.*VPLinear"):
        rank([], [other])


def test_unknown_features_are_refused(trajectories: Trajectories):
    """The message lists the feature sets."""
    with pytest.raises(UnknownName, match="tableau, replay, all"):
        ranker(trajectories, features="tea leaves")


def shifted(schedule: Schedule) -> Schedule:
    """The schedule with a time shift."""
    return replace(schedule, shift=TimeShift(window=0.1, cutoff=0.3))


def test_time_shifts_are_learnt_from_trials(rank: Rank, known: list[Trial], unseen: list[Trial]):
    """Where shifted trials are half as bad again, so are the forecasts of shifted schedules, within a tenth."""
    tried = [
        with_schedule(replace(t, score=replace(t.score, value=1.5 * t.score.value)), shifted(t.schedule))
        if i % 2
        else t
        for i, t in enumerate(known)
        if t.score is not None
    ]
    plain, moved = (rank(tried, made).mean for made in (schedules(unseen), [shifted(s) for s in schedules(unseen)]))
    assert np.median(moved - plain) == pytest.approx(np.log(1.5), abs=0.1)


def test_shifts_that_nobody_tried_change_no_forecast(rank: Rank, known: list[Trial], unseen: list[Trial]):
    """Without a shifted trial a shifted schedule is forecast as the same one unshifted, from the first trial on."""
    for count in (0, 1, ENOUGH, 40):
        expected = rank(known[:count], schedules(unseen))
        assert_same(rank(known[:count], [shifted(schedule) for schedule in schedules(unseen)]), expected)


def guided(schedule: Schedule) -> Schedule:
    """The schedule with its second half of calls unguided."""
    half = schedule.nfe // 2
    return replace(schedule, guidance=(3.0,) * half + (1.0,) * (schedule.nfe - half))


def test_guidance_that_nobody_tried_changes_no_forecast(rank: Rank, known: list[Trial], unseen: list[Trial]):
    """Without a guided trial a guided schedule is forecast as the same one without; with such trials apart."""
    expected = rank(known, schedules(unseen))
    assert_same(rank(known, [guided(schedule) for schedule in schedules(unseen)]), expected)
    tried = [
        with_schedule(replace(t, score=replace(t.score, value=1.5 * t.score.value)), guided(t.schedule))
        for t in known
        if t.score is not None and t.schedule.fitted is None
    ]
    plain, without = (
        rank([*known, *tried], made).mean
        for made in (schedules(unseen), [guided(schedule) for schedule in schedules(unseen)])
    )
    assert np.median(without - plain) > 0.2
