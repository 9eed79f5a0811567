"""Times, points of the space and the teacher where a process begins in pure noise and ends in clean data."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewstep import models, processes, solvers
from fewstep.search.evaluation import teacher
from fewstep.search.gaps import MAX_LOG_SNR, ends, log_snrs
from fewstep.search.samplers import operators as proposals
from fewstep.search.space import Space

INFINITE = [processes.Flow(), processes.Flow(shift=3.0), processes.DDM()]
each = pytest.mark.parametrize("process", INFINITE, ids=str)


def test_finite_ends_are_the_processes_own() -> None:
    """Nothing changes where λ is finite."""
    process = processes.VPLinear()
    times = np.linspace(process.t_max, process.t_min, 7)
    assert np.array_equal(log_snrs(process, times), process.log_snr(times))


@each
def test_infinite_ends_stand_at_the_reach(process: processes.Process) -> None:
    """Also times so close to an end that they lie beyond it."""
    assert ends(process) == (-MAX_LOG_SNR, MAX_LOG_SNR)
    found = log_snrs(process, np.array([1.0, 1 - 1e-9, 0.5, 1e-12, 0.0]))
    assert found[[0, 1, 3, 4]].tolist() == [-MAX_LOG_SNR, -MAX_LOG_SNR, MAX_LOG_SNR, MAX_LOG_SNR]
    assert found[2] == process.log_snr(0.5)


@given(seed=st.integers(0, 2**32 - 1), nfe=st.integers(1, 10), process=st.sampled_from(INFINITE))
def test_proposals_are_valid_points(seed: int, nfe: int, process: processes.Process) -> None:
    """Uniform proposals, mutations and crossovers are schedules with exact ends that the space encodes without loss."""
    rng, space = np.random.default_rng(seed), Space(process, nfe)
    first, second = proposals.uniform(space, rng), proposals.uniform(space, rng)
    for schedule in (first, proposals.mutate(space, first, rng), proposals.cross(space, first, second, rng)):
        assert (schedule.times[0], schedule.times[-1]) == (1.0, 0.0)
        again = space.decode(space.encode(schedule))
        assert again.steps == schedule.steps
        np.testing.assert_allclose(again.times, schedule.times, rtol=1e-9)


@each
@pytest.mark.parametrize("name", ["ddim", "dpmpp-2m", "unipc-2-bh2"])
def test_hand_made_solvers_are_points(process: processes.Process, name: str) -> None:
    """Decoding an encoded one gives back its steps, and its times where they are within the reach."""
    for grid in ("time", "quadratic"):
        schedule, space = solvers.named(name).schedule(process, 6, grid), Space(process, 6)
        again = space.decode(space.encode(schedule))
        assert again.steps == schedule.canonical().steps
        np.testing.assert_allclose(again.times, schedule.times, rtol=1e-8)


@each
def test_the_teacher_ends_on_the_exact_flow(process: processes.Process) -> None:
    """From pure noise to clean data on a Gaussian, whose flow is known in closed form; stored states lie on it too."""
    mean, spread = torch.arange(4, dtype=torch.float64) / 4, torch.tensor([0.01, 0.1, 0.5, 1.0], dtype=torch.float64)
    gaussian = models.Gaussian(process, mean=mean, covariance=torch.diag(spread))
    noise = torch.randn(20, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    truth = gaussian.flow(noise, 1.0, 0.0)
    assert (teacher.ends(gaussian, noise) - truth).abs().max() < 2e-4
    stored = teacher.follow(gaussian, noise)
    assert np.all(np.isfinite(stored.log_snrs))
    late = teacher.CALLS * 4 // 5
    middle = gaussian.flow(noise, 1.0, float(process.time(np.float64(stored.log_snrs[late]))))
    np.testing.assert_allclose(stored.states[late], middle.numpy(), atol=2e-4)
    np.testing.assert_allclose(stored.states[-1], truth.numpy(), atol=2e-4)
