"""Orders of convergence, measured on the one problem whose flow is known in closed form: a Gaussian.

The slope of log error against log(1/N) is the order. A ramp of orders 1, 2, …, p would spoil it, because the first
step's local error is of order 2 in its length: so the first steps are shortened until each step's local error is of
order p, the k-th step to the power p/(k + 1) of the common one. That needs nothing but a schedule with suitable times.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fewstep import Schedule, Step, Tableau, compile, sample, solvers
from fewstep.models import Gaussian
from fewstep.processes import VE, Process
from tests.laws import WIDER

CALLS = (48, 96, 192)
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


def laid_out(process: Process, solver: solvers.Solver, calls: int) -> Schedule:
    """The solver's own schedule, its orders climbing but not falling, on times whose first steps are shortened.

    A corrector raises the order of each rung by one.
    """
    gain = int(any(step.corrector for step in solver.ladder))
    rungs = [k + gain for k in range(1, len(solver.ladder)) if k + gain < solver.order]

    def place(process: Process, count: int) -> tuple[float, ...]:
        first, even = float(process.log_snr(process.t_max)), 1.0 / (count - len(rungs))
        shares = [even ** (solver.order / (k + 1)) for k in rungs] + [even] * (count - len(rungs))
        lam = first + (END - first) * np.cumsum(shares) / np.sum(shares)
        return (process.t_max, *(float(t) for t in process.time(lam)))

    return solver.schedule(process, calls, place, lower_order_final=False)


def strides(solver: solvers.Solver) -> tuple[int, int]:
    """Numbers of calls to measure a solver's order by: high orders show with short steps only.

    Even, and 2 more than multiples of 3: no stride is left with one call.
    """
    return {3: (50, 98), 4: (98, 194)}.get(solver.order, (26, 62))


def assert_order(errors: list[float], solver: solvers.Solver, most: float) -> None:
    """The errors with `strides` calls fall with the declared order, from at most ``most``."""
    few, many = strides(solver)
    assert errors[1] < errors[0] < most
    assert np.log(errors[0] / errors[1]) / np.log(many / few) > solver.order - 0.3


DETERMINISTIC = [name for name in solvers.names() if not solvers.named(name).stochastic]


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_named_solver_converges(name: str, subtests: pytest.Subtests) -> None:
    """Every deterministic solver reaches the order it declares, on every noise law that it is for."""
    solver = solvers.named(name)
    noise = torch.randn(16, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for law in filter(solver.applies, WIDER.values()):
        with subtests.test(law=law.kind):
            denoiser, errors = gaussian(law), []
            for calls in strides(solver):
                schedule = laid_out(law, solver, calls)
                assert schedule.nfe == calls
                truth = denoiser.flow(law.prior_std * noise, law.t_max, schedule.times[-1])
                errors.append((sample(denoiser, schedule, noise) - truth).square().mean().sqrt().item())
            assert_order(errors, solver, 0.2)


MOMENTS = ((0.7, 0.3), (-0.2, 1.7), (1.1, 0.05))  # several, lest the leading error of one be nothing by chance


def law_error(process: Process, tableau: Tableau, mean: float, variance: float) -> float:
    """How far mean and variance of the end are from the marginal's, for data N(mean, variance)."""
    alpha, sigma = process.alpha(tableau.times), process.sigma(tableau.times)
    marginal = alpha**2 * variance + sigma**2
    state = np.zeros(2 + tableau.noise.shape[1])  # weights of (1, a standard normal, z_0, …); y_0 has the marginal
    state[:2] = alpha[0] * mean, np.sqrt(marginal[0])
    first, outputs = state, []
    for i in range(tableau.calls):
        gain = alpha[i] * variance / marginal[i]
        outputs.append(gain * state)
        outputs[-1][0] += mean - gain * alpha[i] * mean
        state = tableau.start[i] * first + tableau.outputs[i, : i + 1] @ np.array(outputs)
        state[2:] += tableau.noise[i]
    return float(abs(state[0] - alpha[-1] * mean) + abs(np.sum(state[1:] ** 2) - marginal[-1]))


@pytest.mark.parametrize("name", [name for name in solvers.names() if solvers.named(name).stochastic])
def test_a_stochastic_solver_converges_in_law(name: str, subtests: pytest.Subtests) -> None:
    """Mean and variance of the end approach the marginal's with the declared order; both are linear recursions here."""
    solver = solvers.named(name)
    for law in filter(solver.applies, WIDER.values()):
        with subtests.test(law=law.kind):
            tableaus = [compile(laid_out(law, solver, calls)) for calls in strides(solver)]
            errors = [sum(law_error(law, tableau, *moments) for moments in MOMENTS) for tableau in tableaus]
            assert_order(errors, solver, 0.5)


def test_declared_orders_are_those_of_the_papers() -> None:
    """Outputs used, one more with UniC's corrector; fixed weights and halved second derivatives leave second order.

    A new solver without an entry fails.
    """
    first = ("ddim", "euler", "flow-euler", "ddm", "deis-1", "rho-deis-1", "lms-1", "ipndm-1", *STOCHASTIC)
    second = ("heun", "flow-heun", "s-pndm", "f-pndm", "ipndm-2", "ipndm-3", "ipndm-4", "unipc-1-bh1", "unipc-1-bh2")
    dpm = {f"{kind}-{multistep}": 2 for kind in ("dpm", "dpmpp") for multistep in ("2m", "2m-heun", "3m")}
    dpm |= {f"{kind}-{k}s{heun}": k for kind in ("dpm", "dpmpp") for k in (2, 3) for heun in ("", "-heun")}
    higher = {f"{kind}-{k}": k for kind in ("deis", "lms") for k in (2, 3, 4)} | {f"rho-deis-{k}": k for k in (2, 3)}
    unipc = {f"unipc-{k}-{scale}": k + 1 for k in (2, 3) for scale in ("bh1", "bh2")}
    wanted = dict.fromkeys(first, 1) | dict.fromkeys(second, 2) | dpm | higher | unipc
    assert {name: solvers.named(name).order for name in solvers.names()} == wanted


STOCHASTIC = (
    "ddpm",
    "ddm-sde",
    "sde-dpmpp-1",
    "sde-dpmpp-2m",
    "sde-dpmpp-2m-heun",
    "sde-dpmpp-3m",
    "sa-solver-1",
    "sa-solver-2",
    "sa-solver-3",
)


def test_the_published_third_order_is_a_second_order(process: Process) -> None:
    """With the second derivative halved the measured order is two; with it whole, three."""
    published = solvers.named("dpmpp-3m").ladder
    whole = tuple(replace(step, scale="none", second=1.0) for step in published)
    assert slope(process, published, 3) < 2.5
    assert slope(process, whole, 3) > 2.8


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_fixed_adams_weights_are_those_of_even_steps(k: int) -> None:
    """Where σ/α falls evenly, iPNDM is linear multistep to rounding and so has order k; on other grids it has two."""
    law = VE(t_min=0.0)
    fixed, variable = (compile(solvers.named(f"{name}-{k}").schedule(law, 12, "time")) for name in ("ipndm", "lms"))
    assert fixed.close_to(variable, tolerance=1e-12)
    for name in ("quadratic", "edm")[: k - 1]:
        fixed, variable = (compile(solvers.named(f"{each}-{k}").schedule(law, 12, name)) for each in ("ipndm", "lms"))
        assert not fixed.close_to(variable, tolerance=1e-3)
