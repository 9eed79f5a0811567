"""Evaluation of a trained model: errors by noise level, and samples to measure."""

from collections.abc import Sequence

import torch

from fewstep import sample, solvers
from fewstep.models import Denoiser
from fewstep.models.base import per_sample

__all__ = ["data_errors", "draw"]


@torch.no_grad()
def data_errors(
    denoiser: Denoiser, data: torch.Tensor, times: Sequence[float], seed: int = 0, repeats: int = 8
) -> list[float]:
    """Mean squared error of the data estimate at each of ``times``, on ``data`` (B, ...) noised ``repeats`` times."""
    generator = torch.Generator().manual_seed(seed)
    clean = data.repeat(repeats, *(1,) * (data.ndim - 1))
    noise = torch.randn(clean.shape, generator=generator)
    errors = []
    for time in times:
        t = torch.full((len(clean),), float(time))
        alpha, sigma = (per_sample(scale(t), clean) for scale in (denoiser.process.alpha, denoiser.process.sigma))
        errors.append(float((denoiser(alpha * clean + sigma * noise, t) - clean).square().mean()))
    return errors


def draw(
    denoiser: Denoiser,
    shape: tuple[int, ...],
    solver: str,
    calls: int,
    grid: str | None = None,
    seed: int = 0,
    batch: int = 512,
) -> torch.Tensor:
    """Samples of ``shape`` (B, ...) by a named deterministic solver, in batches; nothing is clamped.

    Sample i runs under condition i, modulo their number.
    """
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    schedule = solvers.named(solver).schedule(denoiser.process, calls, grid)
    parts = []
    for first in range(0, len(noise), batch):
        part = noise[first : first + batch]
        parts.append(sample(denoiser.bound(range(first, first + len(part))), schedule, part))
    return torch.cat(parts)
