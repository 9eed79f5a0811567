"""Orders of convergence, measured on the one problem whose flow is known in closed form: a Gaussian.

The slope of log error against log(1/N) is the order. A ramp of orders 1, 2, …, p would spoil it, because the first
step's local error is of order 2 in its length: so the first steps are shortened until each step's local error is of
order p, the k-th step to the power p/(k + 1) of the common one. That needs nothing but a schedule with suitable times.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fewstep import Schedule, Step, sample, solvers
from fewstep.models import Gaussian
from fewstep.processes import Process

CALLS = (48, 68, 96, 136, 192)
END = 0.5  # λ where half the noise is gone; further on errors of early and late steps cancel by chance


def gaussian(process: Process) -> Gaussian:
    """Three eigenvalues, a rotation and a mean: nothing cancels by symmetry."""
    covariance = torch.tensor([[1.5, 0.4, 0.1], [0.4, 0.6, -0.2], [0.1, -0.2, 0.2]], dtype=torch.float64)
    return Gaussian(process, torch.tensor([0.5, -1.0, 0.8], dtype=torch.float64), covariance)


def times(process: Process, calls: int, order: int) -> tuple[float, ...]:
    """Falling times, even in λ but for the shortened first order − 1 steps."""
    first = float(process.log_snr(process.t_max))
    even = 1.0 / (calls - order + 1)
    shares = [even ** (order / (k + 1)) for k in range(1, order)] + [even] * (calls - order + 1)
    lam = first + (END - first) * np.cumsum(shares) / np.sum(shares)
    return (process.t_max, *(float(t) for t in process.time(lam)))


def slope(process: Process, ladder: tuple[Step, ...], order: int) -> float:
    """The measured order of the steps of ``ladder``, climbed at the start; ``order`` says how to start."""
    denoiser = gaussian(process)
    noise = torch.randn(16, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors = []
    for calls in CALLS:
        steps = tuple(ladder[min(i, len(ladder) - 1)] for i in range(calls))
        schedule = Schedule(process, times(process, calls, order), steps)
        truth = denoiser.flow(noise, process.t_max, schedule.times[-1])
        errors.append((sample(denoiser, schedule, noise) - truth).square().mean().sqrt().item())
    assert errors[-1] < errors[0] < 0.1
    return float(np.polyfit(np.log(1 / np.array(CALLS)), np.log(errors), 1)[0])


@pytest.mark.parametrize("prediction", ["data", "noise"])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_a_taylor_step_of_order_p_converges_with_order_p(process: Process, prediction: str, order: int) -> None:
    """Exponential multistep reaches its order in both predictions on every noise law."""
    ladder = tuple(Step(prediction, k) for k in range(1, order + 1))
    assert slope(process, ladder, order) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("prediction", ["data", "noise"])
@pytest.mark.parametrize("scale", ["bh1", "bh2"])
def test_scaling_the_first_derivative_keeps_second_order(process: Process, prediction: str, scale: str) -> None:
    """bh1 and bh2 are 1 + O(h): a second-order step stays of second order."""
    ladder = (Step(prediction), Step(prediction, 2, scale=scale))
    assert slope(process, ladder, 2) == pytest.approx(2, abs=0.15)


CONVERGES = {"ddim": 1, "dpm-2m": 2, "dpmpp-2m": 2, "dpm-3m": 2, "dpmpp-3m": 2}


@pytest.mark.parametrize("name", solvers.names())
def test_a_named_solver_converges(process: Process, name: str) -> None:
    """Every solver has at least the order of this table; a new one without an entry fails.

    The published third-order DPM-Solvers halve the second derivative, which leaves second order.
    """
    solver = solvers.named(name)
    assert slope(process, solver.ladder, solver.order) > CONVERGES[name] - 0.2


def test_the_published_third_order_is_a_second_order(process: Process) -> None:
    """With the second derivative halved the measured order is two; with it whole, three."""
    published = solvers.named("dpmpp-3m").ladder
    whole = tuple(replace(step, scale="none", second=1.0) for step in published)
    assert slope(process, published, 3) < 2.5
    assert slope(process, whole, 3) > 2.8
