"""Published methods in this library's numbers: their rows are the solvers', they keep to their passes, they learn."""

import numpy as np
import pytest
import torch

from benchmarks import peers
from benchmarks.peers import PEERS
from benchmarks.quality import CallCounter
from fewstep import Schedule, compile, models, sample, solvers
from fewstep.models import Denoiser, features
from fewstep.processes import Process
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.metrics.paired import squared_distances

SHAPE = (1, 8, 8)
STARTS = {  # a solver and grid that each method begins near
    "LD3": ("dpmpp-2m", "time"),
    "DyWeight": ("ipndm-3", "edm"),
    "GS": ("dpmpp-3m", "time"),
}


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("dpmpp-2m", 2), ("dpmpp-3m", 3)])
def test_rows_are_those_of_the_solver(process: Process, name: str, order: int) -> None:
    """At fixed times, with pure noise and clean data at the ends too; and a gradient goes through the times."""
    schedule = solvers.named(name).schedule(process, 6, "time")
    tableau = compile(schedule)
    times = torch.tensor(schedule.times, dtype=torch.float64, requires_grad=True)
    rows = peers.rows(process, times, order)
    wanted = np.column_stack([tableau.start, tableau.outputs])
    np.testing.assert_allclose(rows.detach().numpy(), wanted, rtol=1e-9, atol=1e-9)
    (slope,) = torch.autograd.grad(rows.square().sum(), times)
    assert slope[1:-1].isfinite().all()
    assert slope[1:-1].abs().max() > 0


def learned(name: str, denoiser: Denoiser, passes: int, nfe: int = 4) -> tuple[Schedule, int]:
    """What a method learns, and the calls that it took."""
    counted = CallCounter(denoiser)
    evaluator = Evaluator(counted, SHAPE, features=features.load().features)
    return PEERS[name](evaluator, nfe, passes, 0), counted.calls[0]


@pytest.mark.parametrize("name", PEERS)
def test_a_method_learns_within_its_passes(name: str) -> None:
    """Below the error of the solver that it begins as; a multiple of the network's calls is counted going back."""
    denoiser = models.zoo.load("digits-mixture")
    schedule, calls = learned(name, denoiser, 8_000)
    assert 4_000 < calls <= 8_000
    assert schedule.nfe == 4
    noises = NoiseSet(3, "test", 128)
    judge = Evaluator(denoiser, SHAPE)
    noise, ends = judge.pairs(noises, 60)
    solver, grid = STARTS[name]
    start = solvers.named(solver).schedule(denoiser.process, 4, grid)
    found, before = (
        np.log(squared_distances(sample(denoiser, each, noise), ends)).mean() for each in (schedule, start)
    )
    assert found < before


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("model", ["digits-ddm", "digits-cond"])
def test_a_method_runs_on_networks(name: str, model: str) -> None:
    """From pure noise to clean data, and under classes; its samples are finite and the same every time."""
    denoiser = models.zoo.load(model)
    schedule, calls = learned(name, denoiser, 1_200, 3)
    assert calls <= 1_200
    assert sample(denoiser, schedule, NoiseSet(3, "test", 4).draw(SHAPE)).isfinite().all()
