"""Solvers without λ: Euler and Heun of EDM and of flow matching, decoupled diffusion's own."""

import math
from itertools import pairwise

import torch

from tests.fewstep.textbook.common import Run

__all__ = ["ddm", "flow", "karras"]


def karras(run: Run, times: list[float], sizes: list[int], x: torch.Tensor) -> torch.Tensor:
    """Karras et al. 2022, algorithm 1 on x/α with their σ = σ/α: Euler where a stride has 1 call, Heun where 2."""
    for s, t, size in zip(times[:-1], times[1:], sizes, strict=True):
        if run.alpha(s) == 0:
            x = run.first(x, s, t)
            continue
        now, then = run.rho(s), run.rho(t)
        scaled = x / run.alpha(s)
        d = (scaled - run.data(x, s)) / now
        moved = scaled + (then - now) * d
        if size == 2:
            again = (moved - run.data(run.alpha(t) * moved, t)) / then
            moved = scaled + (then - now) * (d + again) / 2
        x = run.alpha(t) * moved
    return x


def flow(run: Run, times: list[float], sizes: list[int], x: torch.Tensor) -> torch.Tensor:
    """dx/dσ = v = ε − x_0 (Lipman et al. 2023), by Euler's or Heun's method in the shifted time σ."""

    def velocity(x: torch.Tensor, t: float) -> torch.Tensor:
        return (x - run.data(x, t)) / run.sigma(t)

    for s, t, size in zip(times[:-1], times[1:], sizes, strict=True):
        step = run.sigma(t) - run.sigma(s)
        v = velocity(x, s)
        if size == 2:
            v = (v + velocity(x + step * v, t)) / 2
        x = x + step * v
    return x


def ddm(run: Run, times: list[float], x: torch.Tensor, stochastic: bool) -> torch.Tensor:
    """Huang et al. 2023: x_0 and ε straight on, or the step x + s·x_0 − (s/√t) ε + √(s·r/t) z to r = t − s."""
    for t, r in pairwise(times):
        clean = run.data(x, t)
        eps = (x - (1 - t) * clean) / math.sqrt(t)
        if stochastic:
            s = t - r
            x = x + s * clean - s / math.sqrt(t) * eps
            if r > 0:
                x = x + math.sqrt(s * r / t) * run.z()
        else:
            x = (1 - r) * clean + math.sqrt(r) * eps
    return x
