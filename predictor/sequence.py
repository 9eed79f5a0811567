"""Recurrent ranker of schedules: one token for each step, trained by a pairwise ranking loss.

A gated recurrent unit reads the steps' tokens; its mean and last state, with the features of the whole schedule, give
one number s. Training lowers, over all pairs of the trials at hand, a logistic ranking loss

    Σ_ij w_ij log(1 + exp(−2 (s_i − s_j))),   w_ij = min((y_i − y_j)/std y, 1) u_i u_j where that is positive, else 0

with u = exp(−3 rank/n): far pairs count in full and ties nothing, and the order among the best matters most, as a
search has no use for the worst. The scale of s is arbitrary; it is set to that of y over the trials.

| symbol | meaning | shape |
|---|---|---|
| steps | `Table.steps`, standardised and clipped at `OUTLIER` | (n, N, C) |
| whole | `Table.whole`, likewise | (n, W) |
| y | log scores | (n,) |
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from fewstep.predictor.dataset import Table

__all__ = ["Network", "one_thread", "sequence"]

HIDDEN, HEAD = 24, 32
EPOCHS, RATE, DECAY = 100, 5e-3, 1e-2
STEEP, BEST = 2.0, 3.0
OUTLIER = 4.0  # in standard deviations, as for the Gaussian process
TINY = 1e-6


def sequence(table: Table, targets: np.ndarray, seed: int) -> Callable[[Table], np.ndarray]:
    """A forecast (M,) of ``targets`` (n,) for tables of M schedules; its only randomness is ``seed``."""
    parts = (table.steps, table.whole)
    centres = [part.mean(axis=tuple(range(part.ndim - 1))) for part in parts]
    scales = [part.std(axis=tuple(range(part.ndim - 1))) for part in parts]

    def standard(new: Table) -> list[torch.Tensor]:
        pairs = zip((new.steps, new.whole), centres, scales, strict=True)
        clipped = (np.clip((p - c) / np.where(s < TINY, 1.0, s), -OUTLIER, OUTLIER) for p, c, s in pairs)
        return [torch.from_numpy(part.astype(np.float32)) for part in clipped]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(table.steps.shape[2], table.whole.shape[1])

    def scores(new: Table) -> np.ndarray:
        with torch.no_grad(), one_thread():
            raw: np.ndarray = network(*standard(new)).double().numpy()
        return raw

    with one_thread():
        _train(network, standard(table), torch.from_numpy(targets.astype(np.float32)))
    fitted = scores(table)
    slope = targets.std() / max(fitted.std(), TINY)

    def forecast(new: Table) -> np.ndarray:
        values: np.ndarray = targets.mean() + slope * (scores(new) - fitted.mean())
        return values

    return forecast


@contextmanager
def one_thread() -> Iterator[None]:
    """torch works in one thread meanwhile: one order of summation, and nothing here is large enough for two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Network(nn.Module):
    """Tokens (B, N, C) and whole (B, W) -> one number for each schedule, (B,)."""

    def __init__(self, tokens: int, whole: int) -> None:
        super().__init__()
        self.read = nn.GRU(tokens, HIDDEN, batch_first=True)
        self.head = nn.Sequential(nn.Linear(2 * HIDDEN + whole, HEAD), nn.SiLU(), nn.Linear(HEAD, 1))
        self.straight = nn.Linear(whole, 1)

    def forward(self, steps: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
        """The numbers (B,), the lower the better."""
        states, _ = self.read(steps)
        both = torch.cat([states.mean(1), states[:, -1], whole], 1)
        values: torch.Tensor = (self.head(both) + self.straight(whole))[:, 0]
        return values


def _train(network: Network, inputs: list[torch.Tensor], targets: torch.Tensor) -> None:
    gaps = (targets[:, None] - targets) / targets.std(correction=0).clamp_min(TINY)
    matters = torch.exp(-BEST * targets.argsort().argsort() / len(targets))
    weights = gaps.clamp(0, 1) * matters[:, None] * matters
    weights = weights / weights.sum().clamp_min(TINY)
    descent = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    pace = torch.optim.lr_scheduler.OneCycleLR(descent, RATE, total_steps=EPOCHS)
    for _ in range(EPOCHS):
        values = network(*inputs)
        loss = (weights * nn.functional.softplus(-STEEP * (values[:, None] - values))).sum()
        descent.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        descent.step()
        pace.step()
