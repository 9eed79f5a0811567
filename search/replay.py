"""Times by replay: place a schedule's times on stored teacher trajectories, without a single network call.

For given times, row i regresses the teacher's state y*(λ_{i+1}) on (y_0, D*(λ_0), …, D*(λ_i)). The loss, the residual
energy summed over all rows, is lowered by gradient descent on the times. Stored values are interpolated in λ, and every
inner product needed is a combination of those between stored values, so an iteration costs nothing that grows with the
number of noises or pixels.

| symbol | meaning | shape |
|---|---|---|
| G | mean inner products of all stored states and outputs (the states first) | (2K, 2K) |
| u | free numbers; the λ-gaps are proportional to exp(u) | (N,) |
| ℓ(λ) | cubic Lagrange weights of the K stored log-SNRs at λ | (K,) |
"""

import numpy as np
import torch

from fewstep.trajectory import Trajectories

__all__ = ["loss", "place"]

ITERATIONS = 80
RATE = 0.05
RIDGE = 1e-9  # of the mean diagonal; keeps nearly equal outputs from being told apart by rounding


def place(trajectories: Trajectories, logits: np.ndarray) -> np.ndarray:
    """Log λ-gaps (N,) of the times with the lowest replay loss that descent finds from ``logits`` (N,)."""
    knots, gram = _prepare(trajectories)
    free = torch.tensor(logits - logits.mean(), dtype=torch.float64, requires_grad=True)
    descent = torch.optim.Adam([free], lr=RATE)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(descent, ITERATIONS)
    best, found = np.inf, logits
    for _ in range(ITERATIONS):
        value = _loss(free, knots, gram)
        if value.item() < best:
            best, found = value.item(), free.detach().numpy().copy()
        descent.zero_grad()
        value.log().backward()  # type: ignore[no-untyped-call]
        descent.step()
        decay.step()
    return found


def loss(trajectories: Trajectories, logits: np.ndarray) -> float:
    """The replay loss of the times with log λ-gaps ``logits`` (N,): mean squared residual, summed over the rows."""
    return float(_loss(torch.from_numpy(logits), *_prepare(trajectories)))


def _prepare(trajectories: Trajectories) -> tuple[torch.Tensor, torch.Tensor]:
    stored = np.concatenate([trajectories.states, trajectories.outputs]).reshape(2 * len(trajectories.log_snrs), -1)
    return torch.from_numpy(trajectories.log_snrs), torch.from_numpy(stored @ stored.T / stored.shape[1])


def _loss(free: torch.Tensor, knots: torch.Tensor, gram: torch.Tensor) -> torch.Tensor:
    count = len(free)
    lam = knots[0] + (knots[-1] - knots[0]) * torch.cat([free.new_zeros(1), free.softmax(0).cumsum(0)])  # (N+1,)
    weights = _lagrange(knots, lam)  # (N+1, K)
    nothing = torch.zeros_like(weights)
    states, outputs = torch.cat([weights, nothing], 1), torch.cat([nothing, weights], 1)  # (N+1, 2K)
    basis = torch.cat([states[:1], outputs[:-1]])  # (N+1, 2K): y_0, D*(λ_0), …, D*(λ_{N−1})
    inner = basis @ gram @ basis.T
    inner = inner + RIDGE * inner.diagonal().mean() * torch.eye(count + 1, dtype=inner.dtype)
    cross = basis @ gram @ states[1:].T  # (N+1, N)
    energy = ((states[1:] @ gram) * states[1:]).sum(1)  # (N,)
    rows = [
        energy[i] - cross[: i + 2, i] @ torch.linalg.solve(inner[: i + 2, : i + 2], cross[: i + 2, i])
        for i in range(count)
    ]
    return torch.stack(rows).clamp_min(1e-16).sum()


def _lagrange(knots: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
    """ℓ (M, K) at ``lam`` (M,): four non-zero weights in each row, differentiable in λ."""
    lam = lam.clamp(knots[0].item(), knots[-1].item())
    first = (torch.searchsorted(knots, lam.detach()) - 2).clamp(0, len(knots) - 4)
    near = knots[first[:, None] + torch.arange(4)]  # (M, 4)
    away = lam[:, None] - near
    columns = []
    for a in range(4):
        others = [b for b in range(4) if b != a]
        columns.append((away[:, others] / (near[:, [a]] - near[:, others])).prod(1))
    index = first[:, None] + torch.arange(4)
    return lam.new_zeros(len(lam), len(knots)).scatter(1, index, torch.stack(columns, 1))
