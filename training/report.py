"""How good a trained model is: distances between feature sets, errors by noise level, the spread of its samples."""

from collections.abc import Callable, Sequence

import torch

from fewstep import sample, solvers
from fewstep.errors import InvalidInput
from fewstep.models import Denoiser
from fewstep.models.base import per_sample

__all__ = ["data_errors", "draw", "frechet", "pixel_variance"]


def frechet(first: torch.Tensor, second: torch.Tensor) -> float:
    """Squared Fréchet distance of Gaussians fitted to two feature sets, (n, d) and (m, d):

        ‖μ_1 − μ_2‖² + tr(C_1 + C_2 − 2·(C_1^½ C_2 C_1^½)^½)  (Dowson and Landau 1982; Heusel et al. 2017)

    In float64; eigenvalues that rounding made negative count as 0. Raises `InvalidInput` where the sets do not fit.

    >>> features = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
    >>> round(frechet(features, features + 3), 6)
    18.0
    """
    if min(first.ndim, second.ndim) != 2 or first.shape[1] != second.shape[1] or min(len(first), len(second)) < 2:
        raise InvalidInput(
            f"wanted features (n, d) and (m, d) of two samples or more, got {tuple(first.shape)}, {tuple(second.shape)}"
        )
    first, second = first.double(), second.double()
    one, two = (torch.cov(features.T).reshape(first.shape[1], -1) for features in (first, second))
    values, vectors = torch.linalg.eigh(one)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    overlap = torch.linalg.eigvalsh(root @ two @ root).clamp_min(0).sqrt().sum()
    apart = (first.mean(0) - second.mean(0)).square().sum()
    return max(0.0, float(apart + one.trace() + two.trace() - 2 * overlap))


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
    bound: Callable[[Denoiser, Sequence[int]], Denoiser] | None = None,
    batch: int = 512,
) -> torch.Tensor:
    """Samples of ``shape`` (B, ...) by a named deterministic solver, in batches; nothing is clamped."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    schedule = solvers.named(solver).schedule(denoiser.process, calls, grid)
    parts = []
    for first in range(0, len(noise), batch):
        part = noise[first : first + batch]
        chosen = bound(denoiser, range(first, first + len(part))) if bound else denoiser
        parts.append(sample(chosen, schedule, part))
    return torch.cat(parts)


def pixel_variance(images: torch.Tensor) -> float:
    """Mean over ``images`` (B, ...) of the variance of an image's own pixels."""
    return float(images.flatten(1).var(1).mean())
