"""Multistep solvers as published: UniPC, DEIS, iPNDM, PNDM, linear multistep in σ, DPM-Solver's second and third order.

Each loop takes all times and the order of every step, so that ramps at either end are the test's to state.
"""

import math
from collections.abc import Callable

import numpy as np
import torch

from tests.fewstep.textbook.common import Run

__all__ = ["adams", "deis", "dpm", "fixed", "pndm", "rho_adams", "unipc"]

ADAMS = [[1.0], [1.5, -0.5], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24]]


def unipc(run: Run, times: list[float], orders: list[int], x: torch.Tensor, variant: str) -> torch.Tensor:
    """Zhao et al. 2023, algorithms 5 and 6 in data prediction: UniP-p, then UniC-p at the next call."""
    outputs: list[torch.Tensor] = []
    before = x
    for i, order in enumerate(orders):
        d = run.data(x, times[i])
        if i and math.isfinite(run.lam(times[i - 1])):
            x = _uni(run, times, i - 1, orders[i - 1], before, outputs, d, variant)
        outputs.append(d)
        before = x
        if not (math.isfinite(run.lam(times[i])) and math.isfinite(run.lam(times[i + 1]))):
            a, s = run.alpha(times[i]), run.sigma(times[i])
            x = run.alpha(times[i + 1]) * d + run.sigma(times[i + 1]) / s * (x - a * d)
        else:
            x = _uni(run, times, i, order, x, outputs, None, variant)
    return x


def _uni(
    run: Run,
    times: list[float],
    i: int,
    order: int,
    x: torch.Tensor,
    outputs: list[torch.Tensor],
    new: torch.Tensor | None,
    variant: str,
) -> torch.Tensor:
    """One step from times[i]: predictor without, corrector with the ``new`` output at its target."""
    s, t = times[i], times[i + 1]
    h = run.lam(t) - run.lam(s)
    points = [((run.lam(times[i - k]) - run.lam(s)) / h, outputs[i - k]) for k in range(1, order)]
    if new is not None:
        points.append((1.0, new))
    hh = -h
    b_of_h = hh if variant == "bh1" else math.expm1(hh)
    phi, rows, right = math.expm1(hh) / hh - 1, [], []
    factorial = 1.0
    for k in range(1, len(points) + 1):
        rows.append([r ** (k - 1) for r, _ in points])
        right.append(phi * factorial / b_of_h)
        factorial *= k + 1
        phi = phi / hh - 1 / factorial
    rhos = [0.5] if len(points) == 1 else np.linalg.solve(np.array(rows), np.array(right)).tolist() if points else []
    slopes = sum((rho * (f - outputs[i]) / r for rho, (r, f) in zip(rhos, points, strict=True)), torch.zeros_like(x))
    x = run.sigma(t) / run.sigma(s) * x - run.alpha(t) * math.expm1(hh) * outputs[i]
    return x - run.alpha(t) * b_of_h * slopes


def adams(
    run: Run, times: list[float], orders: list[int], x: torch.Tensor, weights: Callable[[list[float], float], list]
) -> torch.Tensor:
    """x/α moves by the integral of ε over dρ; ``weights(nodes, target)`` are those of the outputs, latest first."""
    outputs: list[torch.Tensor] = []
    for i, order in enumerate(orders):
        s, t = times[i], times[i + 1]
        outputs.append(run.noise(x, s))
        if run.alpha(s) == 0:
            x = run.first(x, s, t)
            continue
        used = weights([times[i - k] for k in range(order)], t)
        moved = sum(w * outputs[i - k] for k, w in enumerate(used))
        x = run.alpha(t) * (x / run.alpha(s) + moved)
    return x


def deis(run: Run) -> Callable[[list[float], float], list]:
    """Zhang and Chen 2023, eq. 15: the Lagrange polynomial in t against dρ = −ρ λ'(t) dt, in panels of log time."""
    law, zero = run.law, run.law.t_zero
    nodes, gauss = np.polynomial.legendre.leggauss(20)

    def slope(t: np.ndarray) -> np.ndarray:
        """λ'(t), by hand for each noise law."""
        if law.kind == "vp-linear":
            rate = -0.5 * (law.beta_min + t * (law.beta_max - law.beta_min))
        elif law.kind == "cosine":
            rate = -math.pi / 2 / (1 + law.s) * np.tan(math.pi / 2 * (t + law.s) / (1 + law.s))
        elif law.kind == "discrete":
            table = 0.5 * np.log(np.array((1.0, *law.alphas_cumprod)))
            rate = np.diff(table)[np.clip(np.ceil(t).astype(int), 0, len(table) - 2)]
        elif law.kind == "ve":
            return -1 / t
        elif law.kind == "flow":
            return -1 / (t * (1 - t))
        else:
            return -1 / (1 - t) - 0.5 / t
        return rate / law.sigma(t) ** 2  # variance preserved: λ' = (log α)'/σ²

    def weights(points: list[float], target: float) -> list[float]:
        start = points[0]
        low = max(target, zero + 1e-24 * (start - zero))
        edges = np.geomspace(low - zero, start - zero, 60 if target > zero else 400) + zero
        if law.kind == "discrete":
            edges = np.concatenate([edges, np.arange(math.ceil(low), start)])
        elif law.kind in ("flow", "ddm"):  # dρ has a pole at t = 1
            edges = np.concatenate([edges, 1 - np.geomspace(1 - start, 1 - low, 60)[1:-1]])
        edges = np.unique(edges)
        half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
        t = middle[:, None] + half[:, None] * nodes
        rate = law.sigma(t) / law.alpha(t) * slope(t) * gauss * half[:, None]
        bases = [np.prod([(t - q) / (p - q) for q in points if q != p], axis=0) for p in points]
        return [float(np.sum(rate * basis)) for basis in bases]

    return weights


def rho_adams(run: Run) -> Callable[[list[float], float], list]:
    """The Lagrange polynomial in ρ = σ/α, integrated exactly: k-diffusion's LMS and DEIS's ρAB."""

    def weights(points: list[float], target: float) -> list[float]:
        rho = [run.rho(t) for t in points]
        result = []
        for j, node in enumerate(rho):
            basis = np.poly1d([1.0])
            for k, other in enumerate(rho):
                if k != j:
                    basis *= np.poly1d([1.0, -(other - rho[0])]) / (node - other)
            whole = basis.integ()
            result.append(float(whole(run.rho(target) - rho[0]) - whole(0.0)))
        return result

    return weights


def fixed(run: Run, weights: list[list[float]]) -> Callable[[list[float], float], list]:
    """iPNDM: Adams–Bashforth weights for even steps, whatever the steps."""
    return lambda points, target: [w * (run.rho(target) - run.rho(points[0])) for w in weights[len(points) - 1]]


def pndm(run: Run, times: list[float], starts: int, x: torch.Tensor, fourth: bool) -> torch.Tensor:
    """Liu et al. 2022, algorithm 2 (F-PNDM) and eq. 21 (S-PNDM): ``starts`` Runge–Kutta strides, then Adams."""
    outputs: list[torch.Tensor] = []
    for i in range(len(times) - 1):
        s, t = times[i], times[i + 1]
        outputs.append(run.noise(x, s))
        e = outputs[-1]
        if run.alpha(s) == 0:
            x = run.first(x, s, t)
            starts += 1  # pure noise gives no stride: the Runge–Kutta start comes after it
        elif i < starts and fourth:
            middle = (s + t) / 2
            e2 = run.noise(run.transfer(x, e, s, middle), middle)
            e3 = run.noise(run.transfer(x, e2, s, middle), middle)
            e4 = run.noise(run.transfer(x, e3, s, t), t)
            x = run.transfer(x, (e + 2 * e2 + 2 * e3 + e4) / 6, s, t)
        elif i < starts:
            x = run.transfer(x, (e + run.noise(run.transfer(x, e, s, t), t)) / 2, s, t)
        else:
            known = ADAMS[min(4 if fourth else 2, len(outputs)) - 1]
            mean = sum(w * outputs[-1 - k] for k, w in enumerate(known))
            x = run.transfer(x, mean, s, t)
    return x


def dpm(run: Run, times: list[float], orders: list[int], x: torch.Tensor, data: bool, heun: bool) -> torch.Tensor:
    """Multistep DPM-Solver (noise) and ++ (data) as published, with divided differences; third order halves D_2."""
    outputs: list[torch.Tensor] = []
    for i, order in enumerate(orders):
        s, t = times[i], times[i + 1]
        outputs.append(run.data(x, s) if data else run.noise(x, s))
        if order == 1 and not (math.isfinite(run.lam(s)) and math.isfinite(run.lam(t))):
            clean = outputs[-1] if data else run.data(x, s)
            x = run.alpha(t) * clean + run.sigma(t) / run.sigma(s) * (x - run.alpha(s) * clean)
            continue
        h = run.lam(t) - run.lam(s)
        z = -h if data else h
        d1 = d2 = torch.zeros_like(x)
        if order > 1:
            r0 = (run.lam(s) - run.lam(times[i - 1])) / h
            d1 = (outputs[-1] - outputs[-2]) / r0
        if order > 2:
            r1 = (run.lam(times[i - 1]) - run.lam(times[i - 2])) / h
            older = (outputs[-2] - outputs[-3]) / r1
            d1, d2 = d1 + r0 / (r0 + r1) * (d1 - older), (d1 - older) / (r0 + r1)
        taylor = math.expm1(z) / z - 1
        first = taylor if order > 2 or heun else 0.5 * math.expm1(z)
        change = math.expm1(z) * outputs[-1] + first * d1 + (taylor / z - 0.5) * d2
        x = run.sigma(t) / run.sigma(s) * x if data else run.alpha(t) / run.alpha(s) * x
        x = x - (run.alpha(t) if data else run.sigma(t)) * change
    return x
