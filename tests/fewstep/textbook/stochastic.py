"""Solvers that add fresh noise, as published: DDPM, SDE-DPM-Solver++, SA-Solver."""

import math
from itertools import pairwise

import numpy as np
import torch

from tests.fewstep.textbook.common import Run

__all__ = ["ddpm", "sa_solver", "sde_dpmpp"]

NODES, GAUSS = np.polynomial.legendre.leggauss(40)


def ddpm(run: Run, times: list[float], x: torch.Tensor) -> torch.Tensor:
    """Ho et al. 2020, eq. 6 and 7 for any noise law: draw from q(x_t | x_s, x_0 = D), the forward law conditioned."""
    for s, t in pairwise(times):
        clean, variance = run.data(x, s), run.sigma(t) ** 2
        if run.sigma(t) == 0:
            return clean * run.alpha(t)
        ratio = run.alpha(s) / run.alpha(t)
        added = run.sigma(s) ** 2 - ratio**2 * variance  # variance of x_s given x_t
        x = run.alpha(t) * clean + ratio * variance / run.sigma(s) ** 2 * (x - run.alpha(s) * clean)
        x = x + math.sqrt(variance * added) / run.sigma(s) * run.z()
    return x


def sde_dpmpp(run: Run, times: list[float], orders: list[int], x: torch.Tensor, heun: bool) -> torch.Tensor:
    """Lu et al. 2022 (++), eq. 18 and 19, with two ways to weigh the difference, and third order."""
    outputs: list[torch.Tensor] = []
    for i, order in enumerate(orders):
        s, t = times[i], times[i + 1]
        outputs.append(run.data(x, s))
        if run.sigma(t) == 0:
            return run.alpha(t) * outputs[-1]
        h = run.lam(t) - run.lam(s)
        fade = -math.expm1(-2 * h)
        x = run.sigma(t) / run.sigma(s) * math.exp(-h) * x + run.alpha(t) * fade * outputs[-1]
        if order == 2:
            difference = (outputs[-1] - outputs[-2]) * h / (run.lam(s) - run.lam(times[i - 1]))
            x = x + run.alpha(t) * (1 - fade / (2 * h) if heun else fade / 2) * difference
        if order == 3:  # k-diffusion's DPM++ 3M SDE: divided differences, and half of the second derivative
            r0 = (run.lam(s) - run.lam(times[i - 1])) / h
            r1 = (run.lam(times[i - 1]) - run.lam(times[i - 2])) / h
            latest, older = (outputs[-1] - outputs[-2]) / r0, (outputs[-2] - outputs[-3]) / r1
            bend = (latest - older) / (r0 + r1)
            first = 1 - fade / (2 * h)
            x = x + run.alpha(t) * (first * (latest + r0 * bend) + (0.5 - first / (2 * h)) * bend)
        x = x + run.sigma(t) * math.sqrt(fade) * run.z()
    return x


def sa_solver(run: Run, times: list[float], orders: list[int], most: int, x: torch.Tensor) -> torch.Tensor:
    """Xue et al. 2023, algorithm 1 with τ = 1 in data prediction; ``most``: outputs that the corrector may use.

    With two outputs the second weight is that of B(h) = h, as in the authors' code.
    """
    outputs: list[torch.Tensor] = []
    old = z = x
    for i, order in enumerate(orders):
        s, t = times[i], times[i + 1]
        d = run.data(x, s)
        if i and math.isfinite(run.lam(times[i - 1])):
            older = range(1, min(most, orders[i - 1] + 1))
            x = _adams(run, times[i - 1], s, old, [(s, d), *((times[i - k], outputs[i - k]) for k in older)], z)
        outputs.append(d)
        if run.sigma(t) == 0:
            return run.alpha(t) * d
        z, old = run.z(), x
        if not math.isfinite(run.lam(s)):
            x = run.alpha(t) * d + run.sigma(t) * z
            continue
        x = _adams(run, s, t, x, [(times[i - k], outputs[i - k]) for k in range(order)], z)
    return x


def _adams(
    run: Run, s: float, t: float, x: torch.Tensor, used: list[tuple[float, torch.Tensor]], z: torch.Tensor
) -> torch.Tensor:
    """x_t from x_s: the polynomial through the used outputs against 2 e^{2 (λ − λ_t)}, and the interval's noise."""
    low, high = run.lam(s), run.lam(t)
    h = high - low
    x = math.exp(-h) * run.sigma(t) / run.sigma(s) * x + run.sigma(t) * math.sqrt(-math.expm1(-2 * h)) * z
    nodes = [run.lam(at) for at, _ in used]
    if len(used) == 2:
        first = nodes.index(low)
        apart = nodes[1 - first] - low
        slope = (used[1 - first][1] - used[first][1]) / apart
        return x + run.alpha(t) * (-math.expm1(-2 * h) * used[first][1] + h * h * slope)
    panels = max(math.ceil(h), 1)
    edges = np.linspace(low, high, panels + 1)
    where = (edges[:-1, None] + np.diff(edges)[:, None] * (NODES + 1) / 2).ravel()
    kernel = (2 * np.exp(2 * (where - high)).reshape(panels, -1) * GAUSS * np.diff(edges)[:, None] / 2).ravel()
    for node, (_, output) in zip(nodes, used, strict=True):
        basis = np.prod([(where - q) / (node - q) for q in nodes if q != node], axis=0)
        x = x + run.alpha(t) * float(np.sum(kernel * basis)) * output
    return x
