"""Compiled tableaus against the solvers' own papers, written out here as loops over states in float64.

The loops share nothing with the library but the noise law and the denoiser. Both sides are exact but for rounding,
which a nonlinear denoiser amplifies on the way; hence 1e-10 on states of size one rather than 1e-15.
"""

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch

from fewstep import Schedule, Step, grids, sample, solvers
from fewstep.processes import Cosine, Process
from tests.laws import PROCESSES

TOLERANCE = 1e-10
Model = Callable[[torch.Tensor, float], torch.Tensor]
EVERY = tuple(product(PROCESSES.values(), grids.EVEN, (3, 5, 10)))  # laws, grids and numbers of calls


def law_at(process: Process, times: tuple[float, ...]) -> tuple[list[float], list[float], list[float]]:
    """α, σ, λ at the times."""
    return tuple([float(verb(t)) for t in times] for verb in (process.alpha, process.sigma, process.log_snr))


def start() -> torch.Tensor:
    """Eight start noises (8, 3)."""
    return torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def agree(got: torch.Tensor, wanted: torch.Tensor, schedule: Schedule) -> None:
    """Both are finite and equal to the tolerance."""
    case = f"{schedule.process}, {schedule.nfe} calls, times {schedule.times}"
    torch.testing.assert_close(got, wanted, rtol=TOLERANCE, atol=TOLERANCE, msg=lambda text: f"{case}: {text}")


def plain(denoiser) -> Model:
    """The denoiser as a function of the state and one time."""
    return lambda x, t: denoiser(x, torch.full((len(x),), t, dtype=x.dtype))


def ddim(model: Model, process: Process, times: tuple[float, ...], x: torch.Tensor) -> torch.Tensor:
    """Song et al. 2021, eq. 12 with σ = 0, in terms of the predicted noise."""
    alpha, sigma, _ = law_at(process, times)
    for i in range(len(times) - 1):
        noise = (x - alpha[i] * model(x, times[i])) / sigma[i]
        x = alpha[i + 1] * (x - sigma[i] * noise) / alpha[i] + sigma[i + 1] * noise
    return x


def dpmpp_2m(model: Model, process: Process, times: tuple[float, ...], x: torch.Tensor, last: bool) -> torch.Tensor:
    """Lu et al. 2022 (DPM-Solver++), algorithm 2; ``last``: the last step is of first order."""
    alpha, sigma, lam = law_at(process, times)
    n = len(times) - 1
    buffer: list[torch.Tensor] = []
    for i in range(1, n + 1):
        h = lam[i] - lam[i - 1]
        buffer.append(model(x, times[i - 1]))
        d = buffer[-1]
        if i > 1 and not (last and i == n):
            r = (lam[i - 1] - lam[i - 2]) / h
            d = (1 + 1 / (2 * r)) * buffer[-1] - 1 / (2 * r) * buffer[-2]
        x = sigma[i] / sigma[i - 1] * x - alpha[i] * math.expm1(-h) * d
    return x


def dpm_2m(model: Model, process: Process, times: tuple[float, ...], x: torch.Tensor, last: bool) -> torch.Tensor:
    """The multistep form of DPM-Solver-2 (Lu et al. 2022): the same extrapolation of the noise, weight e^h − 1."""
    alpha, sigma, lam = law_at(process, times)
    n = len(times) - 1
    buffer: list[torch.Tensor] = []
    for i in range(1, n + 1):
        h = lam[i] - lam[i - 1]
        buffer.append((x - alpha[i - 1] * model(x, times[i - 1])) / sigma[i - 1])
        d = buffer[-1]
        if i > 1 and not (last and i == n):
            r = (lam[i - 1] - lam[i - 2]) / h
            d = d + (buffer[-1] - buffer[-2]) / (2 * r)
        x = alpha[i] / alpha[i - 1] * x - sigma[i] * math.expm1(h) * d
    return x


def third(
    model: Model, process: Process, times: tuple[float, ...], x: torch.Tensor, last: bool, data: bool
) -> torch.Tensor:
    """DPM-Solver and ++ of third order, multistep, as published: divided differences D_1, D_2 with h taken in."""
    alpha, sigma, lam = law_at(process, times)
    n = len(times) - 1
    buffer: list[torch.Tensor] = []
    for i in range(1, n + 1):
        h = lam[i] - lam[i - 1]
        clean = model(x, times[i - 1])
        buffer.append(clean if data else (x - alpha[i - 1] * clean) / sigma[i - 1])
        order = min(3, i, n - i + 1 if last else 3)
        d1, d2 = torch.zeros_like(x), torch.zeros_like(x)
        if order > 1:
            r0 = (lam[i - 1] - lam[i - 2]) / h
            d1 = (buffer[-1] - buffer[-2]) / r0
        if order > 2:
            r1 = (lam[i - 2] - lam[i - 3]) / h
            older = (buffer[-2] - buffer[-3]) / r1
            d1, d2 = d1 + r0 / (r0 + r1) * (d1 - older), (d1 - older) / (r0 + r1)
        if data:
            x = sigma[i] / sigma[i - 1] * x - alpha[i] * math.expm1(-h) * buffer[-1]
            first = math.expm1(-h) / h + 1 if order > 2 else -0.5 * math.expm1(-h)
            x = x + alpha[i] * first * d1 - alpha[i] * ((math.expm1(-h) + h) / h**2 - 0.5) * d2
        else:
            x = alpha[i] / alpha[i - 1] * x - sigma[i] * math.expm1(h) * buffer[-1]
            first = math.expm1(h) / h - 1 if order > 2 else 0.5 * math.expm1(h)
            x = x - sigma[i] * first * d1 - sigma[i] * ((math.expm1(h) - h) / h**2 - 0.5) * d2
    return x


def interpolated(
    model: Model, process: Process, times: tuple[float, ...], x: torch.Tensor, orders: list[int], data: bool
) -> torch.Tensor:
    """The exact solution with the network replaced by its Lagrange polynomial in λ, integrated by Gauss–Legendre.

    x_t = σ_t/σ_s x_s + σ_t ∫ e^l D(l) dl, or α_t/α_s x_s − α_t ∫ e^{−l} ε(l) dl; 40 nodes are exact to rounding.
    """
    alpha, sigma, lam = law_at(process, times)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    buffer: list[torch.Tensor] = []
    for i, order in enumerate(orders):
        clean = model(x, times[i])
        buffer.append(clean if data else (x - alpha[i] * clean) / sigma[i])
        s, t = lam[i], lam[i + 1]
        where = s + (t - s) / 2 * (nodes + 1)
        points = range(i, i - order, -1)
        integral = torch.zeros_like(x)
        for p in points:
            basis = np.prod([(where - lam[q]) / (lam[p] - lam[q]) for q in points if q != p], axis=0)
            kernel = np.exp(where - t) if data else np.exp(t - where)
            integral = integral + float((t - s) / 2 * np.sum(weights * basis * kernel)) * buffer[p]
        if data:
            x = sigma[i + 1] / sigma[i] * x + sigma[i + 1] * math.exp(t) * integral
        else:
            x = alpha[i + 1] / alpha[i] * x - alpha[i + 1] * math.exp(-t) * integral
    return x


def test_ddim(make_mixture) -> None:
    """`ddim` is equation 12 of its paper."""
    for process, grid, nfe in EVERY:
        denoiser, schedule = make_mixture(process), solvers.named("ddim").schedule(process, nfe, grid)
        agree(sample(denoiser, schedule, start()), ddim(plain(denoiser), process, schedule.times, start()), schedule)


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("name", ["dpmpp-2m", "dpm-2m", "dpmpp-3m", "dpm-3m"])
def test_dpm_solvers(make_mixture, name: str, lower: bool) -> None:
    """Each multistep DPM-Solver is its published recursion, with and without lower order at the end."""
    loops = {
        "dpmpp-2m": lambda *a: dpmpp_2m(*a, lower),
        "dpm-2m": lambda *a: dpm_2m(*a, lower),
        "dpmpp-3m": lambda *a: third(*a, lower, data=True),
        "dpm-3m": lambda *a: third(*a, lower, data=False),
    }
    for process, grid, nfe in EVERY:
        denoiser = make_mixture(process)
        schedule = solvers.named(name).schedule(process, nfe, grid, lower_order_final=lower)
        wanted = loops[name](plain(denoiser), process, schedule.times, start())
        agree(sample(denoiser, schedule, start()), wanted, schedule)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("prediction", ["data", "noise"])
def test_taylor_steps(make_mixture, prediction: str, order: int) -> None:
    """A plain step of order p integrates the polynomial through p outputs exactly."""
    for process, grid, nfe in EVERY:
        denoiser = make_mixture(process)
        orders = [min(order, i + 1) for i in range(nfe)]
        times = grids.named(grid)(process, nfe)
        schedule = Schedule(process, times, tuple(Step(prediction, p) for p in orders))
        wanted = interpolated(plain(denoiser), process, times, start(), orders, prediction == "data")
        agree(sample(denoiser, schedule, start()), wanted, schedule)


def test_predictions_may_alternate(process: Process, make_mixture) -> None:
    """Data steps and noise steps share their outputs: one evaluation gives D and ε at the same state."""
    denoiser = make_mixture(process)
    times = grids.logsnr(process, 6)
    kinds = ["data", "noise", "noise", "data", "noise", "data"]
    steps = tuple(Step(kind, min(2, i + 1)) for i, kind in enumerate(kinds))
    alpha, sigma, lam = law_at(process, times)
    x, clean, noise = start(), [], []
    for i, step in enumerate(steps):
        clean.append(plain(denoiser)(x, times[i]))
        noise.append((x - alpha[i] * clean[i]) / sigma[i])
        h, z = lam[i + 1] - lam[i], -(lam[i + 1] - lam[i]) if step.prediction == "data" else lam[i + 1] - lam[i]
        outputs = clean if step.prediction == "data" else noise
        slope = (outputs[i] - outputs[i - 1]) / (lam[i] - lam[i - 1]) if i else 0.0
        change = math.expm1(z) / z * h * outputs[i] + (math.expm1(z) - z) / z**2 * h * h * slope
        if step.prediction == "data":
            x = sigma[i + 1] / sigma[i] * x + alpha[i + 1] * change
        else:
            x = alpha[i + 1] / alpha[i] * x - sigma[i + 1] * change
    schedule = Schedule(process, times, steps)
    agree(sample(denoiser, schedule, start()), x, schedule)


@pytest.mark.parametrize("name", ["dpmpp-2m", "dpmpp-3m", "dpm-2m", "dpm-3m"])
def test_history_starts_after_pure_noise(make_mixture, name: str) -> None:
    """From α = 0 the first step is DDIM's, and the rest is the solver started one time later at that state."""
    law = Cosine(t_max=1.0)
    denoiser = make_mixture(law)
    schedule = solvers.named(name).schedule(law, 7, "time", lower_order_final=True)
    alpha, sigma = float(law.alpha(schedule.times[1])), float(law.sigma(schedule.times[1]))
    by_hand = alpha * plain(denoiser)(start(), 1.0) + sigma * start()
    loop = {"dpmpp-2m": dpmpp_2m, "dpm-2m": dpm_2m}.get(name, lambda *a: third(*a, data=name.startswith("dpmpp")))
    wanted = loop(plain(denoiser), law, schedule.times[1:], by_hand, True)
    agree(sample(denoiser, schedule, start()), wanted, schedule)
