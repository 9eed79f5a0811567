"""The search space: every point is a valid schedule, and every baseline is a point."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fewstep
from fewstep import processes
from search import proposals
from search.baselines import baselines
from search.space import Space

PROCESSES = [processes.VPLinear(), processes.Cosine(), processes.Discrete.linear_betas()]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.kind)
@pytest.mark.parametrize("nfe", [1, 2, 5, 10, 20])
def test_every_baseline_is_a_point_of_the_space(process: processes.Process, nfe: int) -> None:
    """Encoding and decoding a baseline gives back its steps exactly and its times to rounding."""
    space = Space(process, nfe)
    for schedule in baselines(process, nfe).values():
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


def test_baselines_hold_every_solver_on_every_grid_without_doubles() -> None:
    """All names of solvers and grids occur, and no two baselines are the same schedule."""
    found = baselines(processes.VPLinear(), 6)
    assert {name.split()[0] for name in found} == set(fewstep.solvers.names())
    assert {name.split()[1] for name in found} == set(fewstep.grids.names())
    assert len({schedule.digest for schedule in found.values()}) == len(found)
