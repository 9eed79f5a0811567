"""The teacher: converged where the truth is known, and stored where replay needs it."""

import numpy as np
import pytest
import torch

import fewstep
from fewstep import models, processes
from fewstep.search.evaluation import teacher
from fewstep.search.gaps import log_snrs
from fewstep.search.projection import projected

PROCESS = processes.VPLinear()


def gaussian() -> models.Gaussian:
    draw = torch.Generator().manual_seed(1)
    root = torch.randn(6, 6, generator=draw, dtype=torch.float64)
    return models.Gaussian(PROCESS, torch.arange(6.0, dtype=torch.float64), 0.1 * root @ root.mT)


def test_teacher_ends_on_the_exact_flow() -> None:
    """On a Gaussian, whose flow is known in closed form, the teacher's ends are right to 1e-4."""
    noise = torch.randn(20, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    truth = gaussian().flow(noise, PROCESS.t_max, PROCESS.t_min)
    assert (teacher.ends(gaussian(), noise) - truth).abs().max() < 1e-4


@pytest.mark.parametrize("process", [PROCESS, processes.VE(), processes.Flow(), processes.DDM()])
@pytest.mark.parametrize("calls", [teacher.CALLS, teacher.CALLS // 2])
def test_times_are_dense_where_noise_and_data_are_of_one_size(process: processes.Process, calls: int) -> None:
    """On every process, and with half the calls too: exact ends, and near λ = 0 the gaps are at most half as long as
    at either end."""
    times = teacher.schedule(process, calls).times
    assert (times[0], times[-1], len(times)) == (process.t_max, process.t_min, calls + 1)
    lam = log_snrs(process, np.array(times))
    gaps = np.diff(lam)
    middle = gaps[np.argmin(abs(lam[:-1]))]
    assert middle < 0.5 * min(gaps[0], gaps[-1])


def test_followed_states_lie_on_the_exact_flow_and_replay_to_nothing() -> None:
    """Stored states equal the closed form; a converged schedule replayed on them leaves hardly a residual."""
    noise = torch.randn(20, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    stored = teacher.follow(gaussian(), noise)
    times = teacher.schedule(PROCESS).times
    for k in (0, 30, teacher.CALLS):
        truth = gaussian().flow(noise, PROCESS.t_max, times[k])
        np.testing.assert_allclose(stored.states[k], truth.numpy(), atol=1e-4)
    assert stored.replay([fewstep.compile(teacher.schedule(PROCESS, 50))]).max() < 1e-3


def test_wide_states_are_projected_with_their_size_kept() -> None:
    """Root mean squares survive the random projection of wide states to within their statistical error."""
    values = np.random.default_rng(0).standard_normal((200, 3000))
    kept = projected(torch.from_numpy(values))
    assert kept.shape == (200, teacher.PROJECTED)
    assert abs(np.sqrt((kept**2).mean()) - 1) < 0.05
