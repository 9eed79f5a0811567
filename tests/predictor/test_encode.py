"""Schedules as rows of numbers."""

from dataclasses import replace

import numpy as np
import pytest

from fewstep import Schedule, Step, compile, processes, solvers
from fewstep.predictor.encode import encode, encode_guidance, encode_shifts
from fewstep.timeshift import TimeShift

PROCESS = processes.VPLinear()
TIMES = (1.0, 0.7, 0.3, 0.001)


def row(schedule: Schedule) -> np.ndarray:
    """The features of one schedule."""
    return encode([schedule], [compile(schedule)])[0]


def test_equal_meaning_gives_equal_rows():
    """Choices that an order does not use leave no trace: encoding is invariant under `canonical`."""
    steps = (Step("noise", 1, "bh2", second=0.3), Step("noise", 2, "bh1", second=0.7), Step("data", 1, "bh1"))
    schedule = Schedule(PROCESS, TIMES, steps)
    assert schedule.canonical() != schedule
    np.testing.assert_array_equal(row(schedule.canonical()), row(schedule))


@pytest.mark.parametrize(
    "change",
    [Step("data", 1), Step("noise", 2), Step("data", 2, "bh1"), Step("data", 3)],
    ids=["order", "prediction", "scale", "higher order"],
)
def test_another_meaning_gives_another_row(change: Step):
    """Each choice that matters changes the row."""
    steps = (Step(), Step("data", 2), Step("data", 2))
    other = (*steps[:2], change)
    assert not np.allclose(row(Schedule(PROCESS, TIMES, steps)), row(Schedule(PROCESS, TIMES, other)))


def test_one_call_by_hand():
    """One DDIM call: log gap, order 1, data, c/σ = 1/σ_0, W/α = 1 − α_0 σ_1/(σ_0 α_1), and its logarithm."""
    schedule = Schedule(PROCESS, (1.0, 0.5), (Step(),))
    alpha, sigma = PROCESS.alpha(np.array([1.0, 0.5])), PROCESS.sigma(np.array([1.0, 0.5]))
    gap = np.log(alpha[1] / sigma[1]) - np.log(alpha[0] / sigma[0])
    weight = 1 - alpha[0] * sigma[1] / (sigma[0] * alpha[1])
    np.testing.assert_allclose(row(schedule), [np.log(gap), 1, 0, 1 / sigma[0], weight, np.log(weight)], rtol=1e-12)


def test_rows_do_not_depend_on_company():
    """A schedule has the same row alone and among others."""
    schedules = [solvers.named(name).schedule(PROCESS, nfe=5, grid="time") for name in ("ddim", "dpmpp-2m", "dpm-3m")]
    together = encode(schedules, [compile(schedule) for schedule in schedules])
    np.testing.assert_array_equal(together, [row(schedule) for schedule in schedules])


def test_infinite_log_snr_is_encoded_finitely():
    """A schedule that ends at σ = 0 has finite features."""
    assert np.all(np.isfinite(row(Schedule(PROCESS, (1.0, 0.5, 0.0), (Step(), Step())))))


def test_guidance_by_hand():
    """What each call lacks of the largest scale, and that scale; zeros without, and no other feature changes."""
    schedule = solvers.named("dpmpp-2m").schedule(PROCESS, 3)
    guided = [replace(schedule, guidance=scales) for scales in ((1.0, 3.0, 2.0), (5.0,) * 3, (1.0,) * 3)]
    want = [[0, 0, 0, 0], [1, 0, 0.5, np.log(3)], [0, 0, 0, np.log(5)], [1, 1, 1, 0]]
    np.testing.assert_allclose(encode_guidance([schedule, *guided]), want, rtol=1e-12)
    features = encode([schedule, *guided], [compile(each) for each in (schedule, *guided)])
    assert (features == features[0]).all()


def test_a_time_shift_by_hand():
    """Target, window in steps and share of the times that are shifted; zeros without one, and nothing else changes."""
    schedule = Schedule(PROCESS, TIMES, (Step(), Step(), Step()))
    paper = replace(schedule, shift=TimeShift(window=0.333, cutoff=0.001 + 0.25 * 0.999))
    calibrated = replace(schedule, shift=TimeShift(0.1665, 0.001, "calibrated", variance=0.5))
    np.testing.assert_allclose(
        encode_shifts([schedule, paper, calibrated]), [[0, 0, 0, 0], [1, 0, 1, 0.75], [0, 1, 0.5, 1]], rtol=1e-12
    )
    np.testing.assert_array_equal(row(paper), row(schedule))
