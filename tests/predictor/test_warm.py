"""A ranker that knows other searches, on the real digits mixture: what it gains, and what must not change."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

from fewstep import Schedule
from fewstep.errors import InvalidInput
from fewstep.predictor import Lesson, ranker
from fewstep.predictor.dataset import Dataset
from fewstep.predictor.lesson import COLUMNS
from fewstep.predictor.train import PRIOR_STD, PRIOR_WEIGHT, log_score
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
def lesson(trajectories: Trajectories, shorter: list[Trial]) -> Lesson:
    """What the trials with a call less teach."""
    return ranker(trajectories, model=MODEL).lesson(shorter)


@pytest.fixture(scope="module")
def wrong(lesson: Lesson) -> Lesson:
    """The opposite of the lesson, of another model."""
    return replace(lesson, deviations=tuple(-d for d in lesson.deviations), model="another")


def test_without_lessons_the_forecast_is_physics_and_a_mean_deviation(
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


def test_what_a_lesson_cannot_hold_changes_nothing(
    trajectories: Trajectories, rank: Rank, known: list[Trial], unseen: list[Trial], shorter: list[Trial]
):
    """A few trials at other numbers of calls, failed ones there, and a model's name leave forecasts as they were."""
    wanted, beside = schedules(unseen), [*shorter[:10], *(replace(trial, score=None) for trial in shorter[10:])]
    expected = rank(known[:30], wanted)
    assert_same(ranker(trajectories, model=MODEL)([*beside, *known[:30]], wanted), expected)


def test_less_knowledge_takes_no_lessons(
    trajectories: Trajectories, unseen: list[Trial], shorter: list[Trial], lesson: Lesson
):
    """Rankers of less knowledge ignore trials at other numbers of calls, and refuse to take or to give lessons."""
    rank = ranker(trajectories, knowledge="replay")
    assert_same(rank(shorter, schedules(unseen)), rank([], schedules(unseen)))
    with pytest.raises(InvalidInput, match="'all'"):
        rank.lesson(shorter)
    with pytest.raises(InvalidInput, match="got 'replay'"):
        ranker(trajectories, knowledge="replay", lessons=[lesson])


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


def test_a_lesson_does_what_its_trials_do(
    trajectories: Trajectories, rank: Rank, unseen: list[Trial], shorter: list[Trial], lesson: Lesson
):
    """Stored and given to another ranker of the model, it forecasts as the trials themselves do, but for rounding."""
    stored, wanted = Lesson.from_json(lesson.to_json()), schedules(unseen)
    told = ranker(trajectories, lessons=[stored], model=MODEL)([], wanted)
    assert tau(told, unseen) > tau(rank([], wanted), unseen) + 0.01
    shown = rank(shorter, wanted)  # of them it takes the first milestone's number
    assert kendalltau(told.mean, shown.mean).statistic > 0.97


def test_a_misleading_lesson_hurts_little(
    trajectories: Trajectories, rank: Rank, known: list[Trial], unseen: list[Trial], wrong: Lesson
):
    """Another model that taught the opposite costs some of τ with nothing evaluated, and next to nothing after that."""
    wanted, misled = schedules(unseen), ranker(trajectories, lessons=[wrong], model=MODEL)
    losses = [
        tau(rank(known[:count], wanted), unseen) - tau(misled(known[:count], wanted), unseen) for count in (0, 40)
    ]
    assert losses[0] < 0.05
    assert losses[1] < 0.015


def test_own_lessons_count_for_more_than_those_of_strangers(
    trajectories: Trajectories, rank: Rank, unseen: list[Trial], lesson: Lesson
):
    """The same lesson moves forecasts less where it is another model's, or where nobody says whose model it is."""
    base = rank([], schedules(unseen)).mean

    def spread(given: Lesson, model: str) -> float:
        return float((ranker(trajectories, lessons=[given], model=model)([], schedules(unseen)).mean - base).std())

    own = spread(lesson, MODEL)
    for given, model in ((lesson, "another"), (lesson, ""), (replace(lesson, model=""), "")):
        assert 0 < spread(given, model) < 0.7 * own


def test_warm_forecasts_depend_on_arguments_only(
    trajectories: Trajectories, known: list[Trial], unseen: list[Trial], shorter: list[Trial], wrong: Lesson
):
    """A ranker that has answered for other trials and other numbers of calls agrees to the bit with a fresh one."""
    wanted, both = schedules(unseen)[:30], [*shorter, *known[:20]]
    used = ranker(trajectories, lessons=[wrong], model=MODEL)
    used(shorter, wanted)
    used(both, schedules(shorter)[:9])
    used(known[:20], wanted)
    assert_same(used(both, wanted), ranker(trajectories, lessons=[wrong], model=MODEL)(both, wanted))


def test_new_scores_at_other_numbers_of_calls_are_noticed(rank: Rank, unseen: list[Trial], shorter: list[Trial]):
    """What was learned from them is not used again where they have changed."""
    wanted = schedules(unseen)
    before = rank(shorter, wanted).mean
    worse = [replace(t, score=replace(t.score, value=2 * t.score.value)) for t in shorter if t.score is not None]
    np.testing.assert_allclose(rank(worse, wanted).mean - before, np.log(2) / 2, atol=0.02)  # half of one level


def test_lessons_of_two_metrics_are_refused(trajectories: Trajectories, lesson: Lesson):
    """Their deviations are of different things."""
    with pytest.raises(InvalidInput, match="endpoint, kid:digits:teacher"):
        ranker(trajectories, lessons=[lesson, replace(lesson, metric="kid:digits")])


def test_the_pooled_columns_are_those_of_lessons(trajectories: Trajectories, short: list[Schedule]):
    """As wide as their names, at any number of calls."""
    assert Dataset(trajectories)(short).pooled.shape == (len(short), len(COLUMNS))
