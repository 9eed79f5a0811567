"""A ranker with transfer records and trials at other NFE, on the digits mixture: what it gains, what stays the same."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

from fewstep import Schedule
from fewstep.errors import InvalidInput
from fewstep.predictor import TransferRecord, ranker
from fewstep.predictor.dataset import Dataset
from fewstep.predictor.train import PRIOR_STD, PRIOR_WEIGHT, log_score
from fewstep.predictor.transfer import COLUMNS
from fewstep.trajectory import Trajectories
from fewstep.values.forecast import Forecasts
from fewstep.values.trial import Rank, Trial

MODEL = "digits-mixture"


def schedules(trials: Sequence[Trial]) -> list[Schedule]:
    return [trial.schedule for trial in trials]


def tau(forecast: Forecasts, trials: Sequence[Trial]) -> float:
    return float(kendalltau(forecast.mean, [log_score(trial) for trial in trials]).statistic)


def assert_same(first: Forecasts, second: Forecasts) -> None:
    np.testing.assert_array_equal(first.mean, second.mean)
    np.testing.assert_array_equal(first.std, second.std)


@pytest.fixture(scope="module")
def record(trajectories: Trajectories, shorter: list[Trial]) -> TransferRecord:
    """The transfer record of the trials with a call less."""
    return ranker(trajectories, model=MODEL).transfer_record(shorter)


@pytest.fixture(scope="module")
def wrong(record: TransferRecord) -> TransferRecord:
    """The opposite of the record, of another model."""
    return replace(record, deviations=tuple(-d for d in record.deviations), model="another")


def test_without_records_the_forecast_is_physics_and_a_mean_deviation(
    trajectories: Trajectories, rank: Rank, known: list[Trial], unseen: list[Trial]
):
    """With nothing to learn from others, forecasts before the regressors are those of the formulas, to the bit."""
    dataset = Dataset(trajectories)
    table = dataset(schedules(unseen))
    assert_same(rank([], schedules(unseen)), Forecasts(table.prior, np.full(len(unseen), PRIOR_STD)))
    some = known[:5]
    apart = np.array([log_score(t) for t in some]) - dataset(schedules(some)).prior
    shift = apart.sum() / (PRIOR_WEIGHT + 5)
    np.testing.assert_array_equal(rank(some, schedules(unseen)).mean, table.prior + shift)


def test_what_a_record_cannot_hold_changes_nothing(
    trajectories: Trajectories, rank: Rank, known: list[Trial], unseen: list[Trial], shorter: list[Trial]
):
    """A few trials at other numbers of calls, failed ones there, and a model's name leave forecasts as they were."""
    wanted, beside = schedules(unseen), [*shorter[:10], *(replace(trial, score=None) for trial in shorter[10:])]
    expected = rank(known[:30], wanted)
    assert_same(ranker(trajectories, model=MODEL)([*beside, *known[:30]], wanted), expected)


def test_smaller_feature_sets_take_no_records(
    trajectories: Trajectories, unseen: list[Trial], shorter: list[Trial], record: TransferRecord
):
    """Rankers of smaller feature sets ignore trials at other NFE, and refuse to take or to make records."""
    rank = ranker(trajectories, features="replay")
    assert_same(rank(shorter, schedules(unseen)), rank([], schedules(unseen)))
    with pytest.raises(InvalidInput, match="'all'"):
        rank.transfer_record(shorter)
    with pytest.raises(InvalidInput, match="got 'replay'"):
        ranker(trajectories, features="replay", transfer=[record])


def test_trials_at_other_numbers_of_calls_help(
    rank: Rank, known: list[Trial], unseen: list[Trial], shorter: list[Trial]
):
    """Sixty trials with a call less raise τ with nothing evaluated, and after 25 trials it is no lower."""
    wanted = schedules(unseen)
    gains = [
        tau(rank([*shorter, *known[:count]], wanted), unseen) - tau(rank(known[:count], wanted), unseen)
        for count in (0, 25)
    ]
    assert gains[0] > 0.01
    assert gains[1] > -0.01


def test_a_record_does_what_its_trials_do(
    trajectories: Trajectories, rank: Rank, unseen: list[Trial], shorter: list[Trial], record: TransferRecord
):
    """Stored and given to another ranker of the model, it forecasts as the trials themselves do, but for rounding."""
    stored, wanted = TransferRecord.from_json(record.to_json()), schedules(unseen)
    warm = ranker(trajectories, transfer=[stored], model=MODEL)([], wanted)
    assert tau(warm, unseen) > tau(rank([], wanted), unseen) + 0.01
    shown = rank(shorter, wanted)  # of them it takes the first milestone's number
    assert kendalltau(warm.mean, shown.mean).statistic > 0.97


def test_a_misleading_lesson_hurts_little(
    trajectories: Trajectories, rank: Rank, known: list[Trial], unseen: list[Trial], wrong: TransferRecord
):
    """A record of another model that says the opposite costs some of τ without trials, next to nothing later."""
    wanted, misled = schedules(unseen), ranker(trajectories, transfer=[wrong], model=MODEL)
    losses = [
        tau(rank(known[:count], wanted), unseen) - tau(misled(known[:count], wanted), unseen) for count in (0, 40)
    ]
    assert losses[0] < 0.05
    assert losses[1] < 0.015


def test_records_of_the_model_count_for_more_than_those_of_others(
    trajectories: Trajectories, rank: Rank, unseen: list[Trial], record: TransferRecord
):
    """The same record moves forecasts less where it is another model's, or where nobody says whose model it is."""
    base = rank([], schedules(unseen)).mean

    def spread(given: TransferRecord, model: str) -> float:
        return float((ranker(trajectories, transfer=[given], model=model)([], schedules(unseen)).mean - base).std())

    own = spread(record, MODEL)
    for given, model in ((record, "another"), (record, ""), (replace(record, model=""), "")):
        assert 0 < spread(given, model) < 0.7 * own


def test_warm_forecasts_depend_on_arguments_only(
    trajectories: Trajectories, known: list[Trial], unseen: list[Trial], shorter: list[Trial], wrong: TransferRecord
):
    """A ranker that has answered for other trials and other numbers of calls agrees to the bit with a fresh one."""
    wanted, both = schedules(unseen)[:30], [*shorter, *known[:20]]
    used = ranker(trajectories, transfer=[wrong], model=MODEL)
    used(shorter, wanted)
    used(both, schedules(shorter)[:9])
    used(known[:20], wanted)
    assert_same(used(both, wanted), ranker(trajectories, transfer=[wrong], model=MODEL)(both, wanted))


def test_new_scores_at_other_numbers_of_calls_are_noticed(rank: Rank, unseen: list[Trial], shorter: list[Trial]):
    """What was learned from them is not used again where they have changed."""
    wanted = schedules(unseen)
    before = rank(shorter, wanted).mean
    worse = [replace(t, score=replace(t.score, value=2 * t.score.value)) for t in shorter if t.score is not None]
    np.testing.assert_allclose(rank(worse, wanted).mean - before, np.log(2) / 2, atol=0.02)  # half of one level


def test_records_of_two_metrics_are_refused(trajectories: Trajectories, record: TransferRecord):
    """Their deviations are of different things."""
    with pytest.raises(InvalidInput, match="kid:digits:teacher, mean"):
        ranker(trajectories, transfer=[record, replace(record, metric="kid:digits")])


def test_the_pooled_columns_are_those_of_records(trajectories: Trajectories, short: list[Schedule]):
    """As wide as their names, at any number of calls."""
    assert Dataset(trajectories)(short).pooled.shape == (len(short), len(COLUMNS))
