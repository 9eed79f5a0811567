"""The search space: every point is a valid schedule, and every multistep baseline in λ is a point."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fewstep
from fewstep import Step, processes
from fewstep.search.samplers import operators as proposals
from fewstep.search.space import Space
from fewstep.search.stages.baselines import baselines

PROCESSES = [processes.VPLinear(), processes.Cosine(), processes.Discrete.linear_betas()]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.kind)
@pytest.mark.parametrize("nfe", [1, 2, 5, 20])
def test_multistep_baselines_are_points_of_the_space(process: processes.Process, nfe: int) -> None:
    """Encoding and decoding one gives back its steps exactly and its times to rounding, correctors included."""
    space = Space(process, nfe)
    held = {name: schedule for name, schedule in baselines(process, nfe).items() if space.holds(schedule)}
    if nfe == 20:
        kinds = {name.split()[0].split("-")[0] for name in held}
        assert kinds == {"ddim", "dpm", "dpmpp", "unipc"}
        assert any(step.corrector for schedule in held.values() for step in schedule.steps)
    for schedule in held.values():
        again = space.decode(space.encode(schedule))
        assert again.steps == schedule.canonical().steps
        np.testing.assert_allclose(again.times, schedule.times, rtol=1e-8)
        assert fewstep.compile(again).close_to(fewstep.compile(schedule), tolerance=1e-6)


@given(seed=st.integers(0, 2**32 - 1), nfe=st.integers(1, 12))
def test_proposals_are_valid_points(seed: int, nfe: int) -> None:
    """Uniform proposals, their mutations and crossovers are schedules that the space encodes without loss."""
    rng, space = np.random.default_rng(seed), Space(processes.VPLinear(), nfe)
    first, second = proposals.uniform(space, rng), proposals.uniform(space, rng)
    for schedule in (first, proposals.mutate(space, first, rng), proposals.cross(space, first, second, rng)):
        again = space.decode(space.encode(schedule))
        assert schedule.nfe == nfe
        assert schedule == schedule.canonical()
        assert again.steps == schedule.steps
        np.testing.assert_allclose(again.times, schedule.times, rtol=1e-9)


@pytest.mark.parametrize(
    "process", [*PROCESSES, processes.VE(), processes.Flow(), processes.DDM()], ids=lambda p: p.kind
)
def test_baselines_hold_every_solver_on_every_grid_without_doubles(process: processes.Process) -> None:
    """Every deterministic solver for the process occurs, or one that comes to the same numbers on each of its grids, on
    every grid that fits; all have the number of calls asked for."""
    found = baselines(process, 6)
    assert {name.split()[1] for name in found} == set(fewstep.grids.suitable(process))
    assert {schedule.nfe for schedule in found.values()} == {6}
    tableaus = [fewstep.compile(schedule) for schedule in found.values()]
    for name in fewstep.solvers.names():
        solver = fewstep.solvers.named(name)
        if solver.stochastic or not solver.applies(process):
            assert not any(key.split()[0] == name for key in found)
            continue
        for grid in fewstep.grids.suitable(process):
            wanted = fewstep.compile(solver.schedule(process, 6, grid))
            assert sum(wanted.close_to(tableau) for tableau in tableaus) == 1


@pytest.mark.parametrize("name", ["heun", "dpmpp-2s", "ipndm-3", "deis-2", "lms-3", "sde-dpmpp-2m", "flow-heun"])
def test_other_schedules_are_no_points(name: str) -> None:
    """Steps from further back, other variables, fixed weights and fresh noise are told from points of the space; only
    the first cannot be moved to other times."""
    process = processes.Flow(t_min=1e-3, t_max=0.99)
    schedule = fewstep.solvers.named(name).schedule(process, 6)
    assert not Space(process, 6).holds(schedule)
    assert Space(process, 6).moves(schedule) == (name not in ("heun", "dpmpp-2s", "flow-heun"))


def test_a_corrector_is_a_gene() -> None:
    """It survives encoding with its own scale, and one after the last call is left out."""
    space, scale = Space(processes.VPLinear(), 3), {"corrector_scale": "linear", "corrector_slope": 0.25}
    steps = [Step("data", k, corrector=k + 1, **scale) for k in (1, 2, 3)]
    schedule = space.build(np.zeros(3), steps)
    assert [step.corrector for step in schedule.steps] == [2, 3, 0]
    assert space.decode(space.encode(schedule)) == schedule
    assert space.encode(schedule)["corrector_slope_1"] == 0.25
