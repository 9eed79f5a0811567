"""Singlestep DPM-Solvers as published: every stride calls the network at its start and inside."""

import math

import torch

from tests.fewstep.textbook.common import Run

__all__ = ["dpm_2s", "dpm_3s", "dpmpp_2s", "dpmpp_3s", "strides"]


def strides(run: Run, times: list[float], sizes: list[int], x: torch.Tensor, steps: dict) -> torch.Tensor:
    """The strides between ``times`` with ``sizes`` calls each, taken by ``steps[size]``; 1 is DDIM."""
    for s, t, size in zip(times[:-1], times[1:], sizes, strict=True):
        x = run.first(x, s, t) if size == 1 else steps[size](run, x, s, t)
    return x


def dpm_2s(run: Run, x: torch.Tensor, s: float, t: float, heun: bool = False) -> torch.Tensor:
    """Lu et al. 2022, algorithm 1 with r_1 = 1/2 and algorithm 4 (r_1 = 1/2, Taylor type)."""
    h, r1 = run.lam(t) - run.lam(s), 0.5
    s1 = run.at(run.lam(s) + r1 * h)
    eps = run.noise(x, s)
    u = run.alpha(s1) / run.alpha(s) * x - run.sigma(s1) * math.expm1(r1 * h) * eps
    if not heun:
        return run.alpha(t) / run.alpha(s) * x - run.sigma(t) * math.expm1(h) * run.noise(u, s1)
    slope = (run.noise(u, s1) - eps) / r1
    taylor = math.expm1(h) / h - 1
    return run.alpha(t) / run.alpha(s) * x - run.sigma(t) * (math.expm1(h) * eps + taylor * slope)


def dpm_3s(run: Run, x: torch.Tensor, s: float, t: float, heun: bool = False) -> torch.Tensor:
    """Lu et al. 2022, algorithm 2 with r_1 = 1/3, r_2 = 2/3; Taylor type with the second derivative too."""
    h, r1, r2 = run.lam(t) - run.lam(s), 1 / 3, 2 / 3
    s1, s2 = (run.at(run.lam(s) + r * h) for r in (r1, r2))
    eps = run.noise(x, s)
    u1 = run.alpha(s1) / run.alpha(s) * x - run.sigma(s1) * math.expm1(r1 * h) * eps
    d1 = run.noise(u1, s1) - eps
    u2 = run.alpha(s2) / run.alpha(s) * x - run.sigma(s2) * math.expm1(r2 * h) * eps
    u2 = u2 - run.sigma(s2) * r2 / r1 * (math.expm1(r2 * h) / (r2 * h) - 1) * d1
    d2 = run.noise(u2, s2) - eps
    x = run.alpha(t) / run.alpha(s) * x - run.sigma(t) * math.expm1(h) * eps
    first = math.expm1(h) / h - 1
    if not heun:
        return x - run.sigma(t) / r2 * first * d2
    slope = (r2 * d1 / r1 - r1 * d2 / r2) / (r2 - r1)
    bend = 2 * (d2 / r2 - d1 / r1) / (r2 - r1)
    return x - run.sigma(t) * (first * slope + (first / h - 0.5) * bend)


def dpmpp_2s(run: Run, x: torch.Tensor, s: float, t: float, heun: bool = False) -> torch.Tensor:
    """Lu et al. 2022 (++), algorithm 1 with r = 1/2; Taylor type from its appendix."""
    h, r = run.lam(t) - run.lam(s), 0.5
    s1 = run.at(run.lam(s) + r * h)
    d = run.data(x, s)
    u = run.sigma(s1) / run.sigma(s) * x - run.alpha(s1) * math.expm1(-r * h) * d
    inner = run.data(u, s1)
    x = run.sigma(t) / run.sigma(s) * x
    if not heun:
        return x - run.alpha(t) * math.expm1(-h) * ((1 - 1 / (2 * r)) * d + 1 / (2 * r) * inner)
    return x - run.alpha(t) * (math.expm1(-h) * d - (math.expm1(-h) / h + 1) / r * (inner - d))


def dpmpp_3s(run: Run, x: torch.Tensor, s: float, t: float, heun: bool = False) -> torch.Tensor:
    """Third order of the ++ solver with r_1 = 1/3, r_2 = 2/3; Taylor type with the second derivative too."""
    h, r1, r2 = run.lam(t) - run.lam(s), 1 / 3, 2 / 3
    s1, s2 = (run.at(run.lam(s) + r * h) for r in (r1, r2))
    d = run.data(x, s)
    u1 = run.sigma(s1) / run.sigma(s) * x - run.alpha(s1) * math.expm1(-r1 * h) * d
    d1 = run.data(u1, s1) - d
    u2 = run.sigma(s2) / run.sigma(s) * x - run.alpha(s2) * math.expm1(-r2 * h) * d
    u2 = u2 + r2 / r1 * run.alpha(s2) * (math.expm1(-r2 * h) / (r2 * h) + 1) * d1
    d2 = run.data(u2, s2) - d
    x = run.sigma(t) / run.sigma(s) * x - run.alpha(t) * math.expm1(-h) * d
    first = math.expm1(-h) / h + 1
    if not heun:
        return x + run.alpha(t) / r2 * first * d2
    slope = (r2 * d1 / r1 - r1 * d2 / r2) / (r2 - r1)
    bend = 2 * (d2 / r2 - d1 / r1) / (r2 - r1)
    return x + run.alpha(t) * (first * slope - (first / h - 0.5) * bend)
