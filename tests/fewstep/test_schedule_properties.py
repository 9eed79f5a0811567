"""What holds for every valid schedule as a value, on schedules drawn from the whole space: digests and stored rows."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fewstep import Schedule, Step, Tableau, compile
from fewstep.errors import InvalidSchedule
from fewstep.processes import Process
from tests.fewstep.drawn import fields, laws, schedules


@given(schedules(), st.floats(-0.1, 0.1), st.integers(0, 10**6))
def test_a_fitted_schedule_round_trips(schedule: Schedule, change: float, seed: int) -> None:
    """Rows come back to the last bit, whether they differ from the compiled ones a lot, by rounding or not at all."""
    plain = compile(schedule)
    shift = change * np.tril(np.random.default_rng(seed).standard_normal(plain.outputs.shape))
    for factor in (1.0, 1e-12, 0.0):
        outputs = plain.outputs + factor * shift
        rows = Tableau(plain.times, plain.network_times, plain.start, outputs, plain.noise)
        fitted = Schedule(schedule.process, schedule.times, schedule.steps, rows)
        back = Schedule.from_json(fitted.to_json())
        assert back == fitted
        assert back.digest == fitted.digest != schedule.digest
        assert compile(back) == rows


@given(schedules(), st.data())
def test_unused_choices_do_not_change_the_digest(schedule: Schedule, data: st.DataObject) -> None:
    """Two schedules that differ only where the order ignores it have one digest; other differences have two."""
    i = data.draw(st.integers(0, schedule.nfe - 1))
    given_fields = data.draw(fields(i))
    names = data.draw(st.lists(st.sampled_from(sorted(given_fields)), max_size=3))
    try:
        other = replace(schedule.steps[i], **{name: given_fields[name] for name in names})
        changed = replace(schedule, steps=(*schedule.steps[:i], other, *schedule.steps[i + 1 :]))
    except InvalidSchedule:
        return
    same = changed.canonical() == schedule.canonical()
    assert (changed.digest == schedule.digest) == same
    if same:
        assert compile(changed) == compile(schedule)


@given(laws, st.lists(st.floats(-1.5, 60) | st.just(np.nan), max_size=6))
def test_any_times_either_make_a_schedule_or_an_invalid_schedule(law: Process, times: list[float]) -> None:
    """No other error escapes, and what is accepted compiles."""
    try:
        schedule = Schedule(law, tuple(times), (Step(),) * max(len(times) - 1, 0))
    except InvalidSchedule:
        return
    assert np.all(np.isfinite(compile(schedule).outputs))
