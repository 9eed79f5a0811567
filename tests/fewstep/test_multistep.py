"""Many multistep schedules at once come to what each comes to alone."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep import Schedule, Step, compile, processes, solvers
from fewstep.errors import InvalidSchedule
from fewstep.multistep import Multistep, compile_all, first_factors
from fewstep.steps.exponential import SCALES, first_factor
from fewstep.timeshift import TimeShift

PROCESSES = [
    processes.VPLinear(),
    processes.Cosine(),
    processes.Discrete.linear_betas(),
    processes.VE(),
    processes.Flow(),
    processes.DDM(),
]
GRIDS = ("logsnr", "time", "quadratic")


def any_step(rng: np.random.Generator, most: int) -> Step:
    """A multistep step in λ with any choices, whether something uses them or not."""
    order = int(rng.integers(1, most + 1))
    scales = rng.choice(list(SCALES), 2).tolist()
    slopes = rng.uniform(-0.5, 0.5, 2).tolist()
    prediction, corrector = str(rng.choice(["data", "noise"])), int(rng.integers(0, order + 2))
    return Step(
        prediction, order, scales[0], slopes[0], float(rng.uniform(-0.5, 1.5)),
        corrector=0 if corrector == 1 else corrector, corrector_scale=scales[1], corrector_slope=slopes[1],
    )  # fmt: skip


def any_schedules(process: processes.Process, nfe: int, count: int, seed: int) -> list[Schedule]:
    """Valid schedules on the named grids: orders as many as there are outputs at finite λ, none corrects at the end."""
    rng, made = np.random.default_rng(seed), list[Schedule]()
    infinite = not np.isfinite(process.log_snr(np.float64(process.t_max)))
    while len(made) < count:
        times = solvers.named("ddim").schedule(process, nfe, GRIDS[len(made) % len(GRIDS)]).times
        steps = [any_step(rng, max(1, min(4, i + 1 - infinite))) for i in range(nfe)]
        steps[-1] = Step()
        if infinite:
            steps[0] = Step()
        made.append(Schedule(process, times, tuple(steps)))
    return made


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.kind)
@given(seed=st.integers(0, 2**32 - 1), nfe=st.integers(1, 9))
def test_tableaus_are_those_of_each_schedule_alone(process: processes.Process, seed: int, nfe: int) -> None:
    """All orders, predictions, scales and correctors on every process, to rounding."""
    schedules = any_schedules(process, nfe, 3, seed)
    for schedule, tableau in zip(schedules, compile_all(schedules), strict=True):
        wanted = compile(schedule)
        assert tableau.close_to(wanted, tolerance=1e-9)
        assert not tableau.outputs.flags.writeable


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.kind)
def test_settled_tables_are_canonical_schedules(process: processes.Process) -> None:
    """They equal what `Schedule.canonical` says, hash alike, and survive pickling."""
    schedules = any_schedules(process, 6, 30, seed=1)
    shifts = [TimeShift(0.1 * process.t_max, 0.5 * process.t_max), *[None] * 29]
    made = Multistep.of(schedules).settled().schedules(shifts)
    wanted = [replace(each.canonical(), shift=shift) for each, shift in zip(schedules, shifts, strict=True)]
    assert made == wanted
    assert [hash(each) for each in made] == [hash(each) for each in wanted]
    assert pickle.loads(pickle.dumps(made)) == wanted
    assert [each.digest for each in made] == [each.digest for each in wanted]


def test_orders_are_cut_and_correctors_left_out_where_nothing_can_be_used() -> None:
    """On a flow, whose λ is infinite at both ends, the first and the last step are of order 1."""
    process = processes.Flow()
    times = np.array([solvers.named("ddim").schedule(process, 4).times])
    columns = ("data", 4, "none", 0.0, 1.0, 5, "none", 0.0)
    table = Multistep(process, times, *(np.full((1, 4), column) for column in columns))
    settled = table.settled()
    assert settled.order.tolist() == [[1, 1, 2, 1]]
    assert settled.corrector.tolist() == [[0, 2, 3, 0]]
    assert settled.valid().all()


def test_rules_are_kept() -> None:
    """A table with times that do not fall is refused as the schedule is."""
    process = processes.VPLinear()
    schedules = any_schedules(process, 4, 2, seed=0)
    table = Multistep.of(schedules)
    table = replace(table, times=table.times[:, [0, 2, 1, 3, 4]])
    assert not table.settled().valid().any()
    with pytest.raises(InvalidSchedule, match="does not lie below"):
        table.settled().schedules([None, None])


@pytest.mark.parametrize("name", ["heun", "dpmpp-2s", "ipndm-3", "deis-2", "unipc-3-bh2", "sde-dpmpp-2m"])
def test_other_steps_are_compiled_one_by_one(name: str) -> None:
    """Whatever the steps, lengths and guidance, every tableau is in its place."""
    process = processes.VPLinear()
    schedules = [solvers.named(each).schedule(process, nfe) for nfe in (4, 6) for each in ("dpmpp-2m", name)]
    schedules.append(replace(schedules[0], guidance=(1.0, 3.0, 3.0, 1.0)))
    schedules.append(replace(schedules[0], fitted=compile(schedules[0])))
    for schedule, tableau in zip(schedules, compile_all(schedules), strict=True):
        assert tableau.close_to(compile(schedule))


def test_factors_of_arrays_are_those_of_numbers() -> None:
    """Every scale in both predictions, at gaps from tiny to large."""
    rng = np.random.default_rng(0)
    gaps, slopes = np.exp(rng.uniform(-14, 2.3, 200)), rng.uniform(-0.5, 0.5, 200)
    predictions, scales = rng.choice(["data", "noise"], 200), rng.choice(list(SCALES), 200)
    found = first_factors(gaps, predictions, scales, slopes)
    wanted = [first_factor(*each) for each in zip(gaps.tolist(), predictions, scales, slopes.tolist(), strict=True)]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
