"""What holds for every valid schedule, on schedules drawn from the whole space, ends included."""

import json

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from fewstep import Schedule, Step, Tableau, compile
from fewstep.errors import InvalidSchedule
from fewstep.processes import Cosine, Discrete, Process, VPLinear
from fewstep.schedule import MIN_GAP
from fewstep.steps.exponential import SCALES

LAWS = (VPLinear(), VPLinear(t_min=0.0), Cosine(), Cosine(t_min=0.0, t_max=1.0), Discrete.linear_betas(count=50))


@st.composite
def steps(draw: st.DrawFn, most: int) -> Step:
    """A step of order at most ``most``."""
    return Step(
        draw(st.sampled_from(["data", "noise"])),
        draw(st.integers(1, most)),
        draw(st.sampled_from(sorted(SCALES))),
        slope=draw(st.floats(-0.5, 0.5)),
        second=draw(st.floats(-2, 2)),
    )


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """A valid schedule of 1 to 8 calls; times anywhere in the law's range, often at its very ends."""
    law: Process = draw(st.sampled_from(LAWS))
    shares = draw(st.lists(st.floats(0, 1), min_size=2, max_size=9, unique=True))
    times = sorted({law.t_zero + share * (law.t_max - law.t_zero) for share in shares}, reverse=True)
    lam = law.log_snr(np.array(times))
    with np.errstate(invalid="ignore"):
        assume(len(times) > 1 and np.all(np.diff(lam) >= MIN_GAP))
    finite = np.isfinite(lam)
    chosen = []
    for i in range(len(times) - 1):
        usable = int(finite[: i + 1].sum()) if finite[i] and finite[i + 1] else 1
        chosen.append(draw(steps(min(4, usable))))
    return Schedule(law, tuple(times), tuple(chosen))


@given(schedules())
def test_every_valid_schedule_compiles_to_finite_lower_triangular_rows(schedule: Schedule) -> None:
    """compile never fails on a valid schedule, asks for each time once, and adds no fresh noise."""
    tableau = compile(schedule)
    n = schedule.nfe
    assert tableau.calls == n
    assert tableau.outputs.shape == (n, n)
    assert tableau.noise.shape == (n, 0)
    assert np.all(np.isfinite(tableau.start))
    assert np.all(np.isfinite(tableau.outputs))
    assert not np.any(np.triu(tableau.outputs, 1))
    np.testing.assert_array_equal(tableau.times, schedule.times)
    np.testing.assert_array_equal(tableau.network_times, schedule.times[:-1])


@given(schedules())
def test_every_row_is_exact_where_the_denoiser_is_constant(schedule: Schedule) -> None:
    """With D = x_0 everywhere the flow is y = α x_0 + σ ε: so c_i σ_0 = σ_{i+1} and c_i α_0 + Σ_j W_ij = α_{i+1}.

    Rounding grows with the size of the weights, hence the tolerance.
    """
    tableau, law = compile(schedule), schedule.process
    alpha, sigma = law.alpha(tableau.times), law.sigma(tableau.times)
    size = 1e-12 * (1 + np.abs(tableau.outputs).sum(1).max())
    np.testing.assert_allclose(tableau.start * sigma[0], sigma[1:], rtol=0, atol=size)
    np.testing.assert_allclose(tableau.start * alpha[0] + tableau.outputs.sum(1), alpha[1:], rtol=0, atol=size)


@given(schedules())
def test_json_round_trip_is_exact(schedule: Schedule) -> None:
    """from_json(to_json) gives back the same value, digest and numbers; the text is strict JSON."""
    text = schedule.to_json()
    back = Schedule.from_json(text)
    assert back == schedule
    assert hash(back) == hash(schedule)
    assert back.digest == schedule.digest
    assert compile(back) == compile(schedule)
    assert back.to_json() == text
    assert json.loads(text, parse_constant=lambda name: 1 / 0)["digest"] == schedule.digest
    assert Schedule.from_json(schedule.to_json(indent=2).encode()) == schedule


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


@given(schedules())
def test_canonical_keeps_the_numbers(schedule: Schedule) -> None:
    """canonical() is idempotent, compiles to the same numbers to the last bit, and does not change the digest."""
    canonical = schedule.canonical()
    assert canonical.canonical() == canonical
    assert compile(canonical) == compile(schedule)
    assert canonical.digest == schedule.digest


@given(schedules(), st.data())
def test_unused_choices_do_not_change_the_digest(schedule: Schedule, data: st.DataObject) -> None:
    """Two schedules that differ only where the order ignores it have one digest; other differences have two."""
    i = data.draw(st.integers(0, schedule.nfe - 1))
    step = schedule.steps[i]
    other = data.draw(steps(step.order))
    assume(other.order == step.order)
    changed = Schedule(schedule.process, schedule.times, (*schedule.steps[:i], other, *schedule.steps[i + 1 :]))
    same = step.canonical() == other.canonical()
    assert (changed.digest == schedule.digest) == same
    if same:
        assert compile(changed) == compile(schedule)


@given(st.sampled_from(LAWS), st.lists(st.floats(-1.5, 60) | st.just(np.nan), max_size=6))
def test_any_times_either_make_a_schedule_or_an_invalid_schedule(law: Process, times: list[float]) -> None:
    """No other error escapes, and what is accepted compiles."""
    try:
        schedule = Schedule(law, tuple(times), (Step(),) * max(len(times) - 1, 0))
    except InvalidSchedule:
        return
    assert np.all(np.isfinite(compile(schedule).outputs))
