"""Times by replay: place a schedule's times on stored teacher trajectories, without a single network call.

For given times, row i regresses the teacher's state y*(λ_{i+1}) on (y_0, D*(λ_0), …, D*(λ_i)). The loss, the residual
energy summed over all rows, is lowered by gradient descent on the times. Stored values are interpolated in λ, and every
inner product needed is a combination of those between stored values, so an iteration costs nothing that grows with the
number of noises or pixels.

| symbol | meaning | shape |
|---|---|---|
| G | mean inner products of all stored states and outputs (states, outputs, unguided outputs if any) | (2K or 3K)² |
| a | guidance of a call: its output is a D* + (1 − a) D¹, where a = (w − 1)/(own scale − 1) | (N,) |
| u | free numbers; the λ-gaps are proportional to exp(u) | (N,) |
| ℓ(λ) | cubic Lagrange weights of the K stored log-SNRs at λ | (K,) |
"""

import math

import numpy as np
import torch

from fewstep.errors import InvalidInput
from fewstep.search.optimize import adam
from fewstep.trajectory import Trajectories

__all__ = ["loss", "place"]

ITERATIONS = 80
RATE = 0.05
RIDGE = 1e-9  # of the mean diagonal; keeps rounding from separating nearly equal outputs


def place(trajectories: Trajectories, logits: np.ndarray, amounts: np.ndarray | None = None) -> np.ndarray:
    """Log λ-gaps (M, N) of the times with the lowest replay loss that descent finds from each start in ``logits``.

    ``amounts`` (M, N) are the a of the calls, by default 1; others want trajectories with unguided outputs.
    """
    knots, gram, guided = _prepare(trajectories, amounts)
    free = torch.tensor(logits - logits.mean(axis=1, keepdims=True), dtype=torch.float64, requires_grad=True)
    moments = adam.Moments.none(free)
    lowest = torch.full((len(free),), torch.inf, dtype=torch.float64)
    best = free.detach().clone()
    for k in range(ITERATIONS):
        value = _loss(free, knots, gram, guided)
        better = value.detach() < lowest
        lowest = torch.where(better, value.detach(), lowest)
        best = torch.where(better[:, None], free.detach(), best)
        (slope,) = torch.autograd.grad(value.log().sum(), free)
        rate = RATE * (1 + math.cos(math.pi * k / ITERATIONS)) / 2
        moments = adam.step(free, slope, moments, k + 1, rate)
    logits_of_best: np.ndarray = best.numpy()
    return logits_of_best


def loss(trajectories: Trajectories, logits: np.ndarray, amounts: np.ndarray | None = None) -> np.ndarray:
    """The replay losses (M,) of times with log λ-gaps ``logits`` (M, N): mean squared residual, summed over rows."""
    values: np.ndarray = _loss(torch.from_numpy(logits), *_prepare(trajectories, amounts)).numpy()
    return values


def _prepare(
    trajectories: Trajectories, amounts: np.ndarray | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Stored log-SNRs, G and a."""
    gram, knots = torch.from_numpy(trajectories.gram), torch.from_numpy(trajectories.log_snrs)
    if amounts is None:
        return knots, gram[: 2 * len(knots), : 2 * len(knots)], None
    if trajectories.unguided is None:
        raise InvalidInput("guidance by amounts wants trajectories with the outputs without guidance")
    return knots, gram, torch.from_numpy(amounts)


def _loss(
    free: torch.Tensor, knots: torch.Tensor, gram: torch.Tensor, amounts: torch.Tensor | None = None
) -> torch.Tensor:
    starts, count = free.shape
    shares = torch.cat([free.new_zeros(starts, 1), free.softmax(1).cumsum(1)], 1)
    weights = _lagrange(knots, knots[0] + (knots[-1] - knots[0]) * shares)  # (M, N+1, K)
    nothing = torch.zeros_like(weights)
    called = weights[:, :-1]
    parts = [nothing[:, :-1], called]
    if amounts is not None:
        parts = [nothing[:, :-1], amounts[..., None] * called, (1 - amounts[..., None]) * called]
    outputs = torch.cat(parts, 2)  # (M, N, 2K or 3K): D*(λ_0), …, D*(λ_{N−1})
    states = torch.cat([weights, *[nothing] * (len(parts) - 1)], 2)  # (M, N+1, 2K or 3K)
    basis = torch.cat([states[:, :1], outputs], 1)  # (M, N+1, 2K or 3K): y_0 and the outputs
    inner = basis @ gram @ basis.mT
    scale = inner.diagonal(dim1=1, dim2=2).mean(1)
    inner = inner + RIDGE * scale[:, None, None] * torch.eye(count + 1, dtype=inner.dtype)
    cross = basis @ gram @ states[:, 1:].mT  # (M, N+1, N)
    energy = ((states[:, 1:] @ gram) * states[:, 1:]).sum(2)  # (M, N)
    factor = torch.linalg.cholesky_ex(inner).L  # whose leading blocks factor those of each row's own normal equations
    explained = torch.linalg.solve_triangular(factor, cross, upper=False).triu(-1) ** 2  # row i has the first i + 2
    total: torch.Tensor = (energy - explained.sum(1)).clamp_min(1e-16).sum(1)
    return total


def _lagrange(knots: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
    """ℓ (M, L, K) at ``lam`` (M, L): four non-zero weights in each row, differentiable in λ."""
    lam = lam.clamp(knots[0].item(), knots[-1].item())
    first = (torch.searchsorted(knots, lam.detach()) - 2).clamp(0, len(knots) - 4)
    index = first[..., None] + torch.arange(4)
    near = knots[index]  # (M, L, 4)
    away = lam[..., None] - near
    columns = []
    for a in range(4):
        others = [b for b in range(4) if b != a]
        columns.append((away[..., others] / (near[..., [a]] - near[..., others])).prod(-1))
    return lam.new_zeros(*lam.shape, len(knots)).scatter(-1, index, torch.stack(columns, -1))
