"""The correction by transfer records, on synthetic records whose slopes are known."""

import numpy as np
import pytest

from fewstep.predictor.correction import DOUBT, TRUST, UNIT, learn
from fewstep.predictor.transfer import COLUMNS, TransferRecord

RNG = np.random.default_rng(0)
SLOPES = np.linspace(-0.2, 0.2, len(COLUMNS)) / UNIT
NEW = RNG.normal(0, UNIT, (300, len(COLUMNS)))


def record(slopes: np.ndarray, level: float = 0.0, count: int = 200, nfe: int = 6) -> TransferRecord:
    """Deviations linear in the columns, with some noise."""
    rows = RNG.normal(0, UNIT, (count, len(COLUMNS)))
    return TransferRecord.of(rows, level + rows @ slopes + RNG.normal(0, 0.1, count), nfe)


def slope(own: list[TransferRecord], other: list[TransferRecord], truth: np.ndarray = SLOPES) -> float:
    """How much of the true deviations of new schedules the correction makes: 1 for all, 0 for none."""
    forecast, wanted = learn(own, other)(NEW), NEW @ truth
    return float(np.cov(forecast, wanted)[0, 1] / wanted.var(ddof=1))


def test_no_records_no_correction():
    """Exactly zero, so that forecasts without records are what they were."""
    np.testing.assert_array_equal(learn([], [])(NEW), np.zeros(len(NEW)))


def test_the_models_own_records_are_believed():
    """Records at other numbers of calls carry over most of what they show, and two more than one."""
    one, two = slope([record(SLOPES)], []), slope([record(SLOPES), record(SLOPES, nfe=8)], [])
    assert 0.4 < one < two < TRUST


def test_one_lesson_of_another_model_is_believed_by_half():
    """With a single one nothing can be left out, and the cautious share holds instead of that of own records."""
    own, other = (slope(*pair) for pair in (([record(SLOPES)], []), ([], [record(SLOPES)])))
    assert other / own == pytest.approx(DOUBT / TRUST, abs=0.05)


def test_other_models_that_agree_are_believed_more_and_those_that_contradict_each_other_less():
    """Each record is forecast from the rest: agreement raises the trust, contradiction takes it away."""
    alike = slope([], [record(SLOPES) for _ in range(4)])
    opposed = slope([], [record(SLOPES), record(SLOPES), record(SLOPES), record(-SLOPES), record(-SLOPES)])
    assert alike > 0.75
    assert abs(opposed) < 0.1


def test_own_records_overrule_others():
    """Where another model shows the opposite, the model's own record decides the direction."""
    assert slope([record(SLOPES)], [record(-SLOPES)]) > 0.2


def test_a_level_is_no_slope():
    """Records that differ only in their level show no differences; own levels move forecasts, half with one record."""
    flat = np.zeros(len(COLUMNS))
    forecast = learn([record(flat, 0.4)], [record(flat, -3.0)])(NEW)
    assert forecast.std() < 0.03
    assert forecast.mean() == pytest.approx(0.2, abs=0.03)


def test_a_wild_row_does_not_swamp_a_record():
    """Diverged schedules, with features and deviations at the limit, hardly change what is learned."""
    sound = record(SLOPES)
    wild = TransferRecord.of(
        np.vstack([np.array(sound.features)[5:], np.full((5, len(COLUMNS)), 12.0)]),
        np.append(sound.deviations[5:], [-12.0] * 5),
        nfe=6,
    )
    assert slope([wild], []) == pytest.approx(slope([sound], []), abs=0.15)


def test_a_column_that_hardly_varied_teaches_little():
    """Its slope is not made up for by its small spread: of schedules unlike those seen, little is claimed."""
    rows = RNG.normal(0, UNIT, (200, len(COLUMNS)))
    rows[:, 0] *= 0.05
    steep = np.zeros(len(COLUMNS))
    steep[0] = 10.0  # deviations of 0.15 over the spread of the column
    assert slope([TransferRecord.of(rows, rows @ steep, nfe=6)], [], steep) < 0.05
