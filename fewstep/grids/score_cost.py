"""Cost of one probe step in scores: the change of the score, or the error that a first-order step leaves in it.

In the variance-exploding variable y = x/α with noise σ̂ = σ/α, a step from level σ̂ to σ̂' < σ̂, y drawn at level σ̂:

    corrector    δ_c = σ̂'² ‖s(y, σ̂') − s(y, σ̂)‖²                                 ~ (Δ log σ̂)²
    predictor    δ_p = σ̂'² ‖∇(∇·e + s·e)‖²,   e = (1 − σ̂'/σ̂)(D(y, σ̂) − D(F(y), σ̂'))/2    ~ (Δ log σ̂)⁴

F is the DDIM step, e its leading error against the exact flow and ∇·e + s·e the error of the log-density, so δ_p is, to
leading order, the squared score distance between the step's density and the exact one (Williams et al. 2024, eq. 15).
"""

from collections.abc import Iterator

import numpy as np
import torch

from fewstep.errors import InvalidModel
from fewstep.models.base import Denoiser
from fewstep.processes import Process

__all__ = ["EXACT", "PROBES", "corrector_cost", "predictor_calls", "predictor_cost"]

EXACT = 16  # largest sample whose divergence is summed over its coordinates
PROBES = 4  # for larger ones: random directions of each of two independent estimates, whose product is unbiased


def corrector_cost(denoiser: Denoiser, x: torch.Tensor, output: torch.Tensor, start: float, end: float) -> torch.Tensor:
    """δ_c for each sample, (B,): ``x`` (B, ...) at time ``start``, ``output`` (B, ...) its data prediction; one call.

    >>> from fewstep import models, processes
    >>> gaussian = models.Gaussian(processes.VE(), mean=torch.zeros(1), covariance=torch.eye(1))
    >>> x = torch.tensor([[2.0]]).double()
    >>> output = gaussian(x, x.new_full((1,), 1.0))
    >>> round(float(corrector_cost(gaussian, x, output, 1.0, 0.5)), 9)  # (0.5·(−2/1.25 + 2/2))²
    0.09
    """
    alphas, noises = _levels(denoiser.process, start, end)
    y = x / alphas[0]
    following = denoiser(alphas[1] * y, x.new_full((len(x),), end))
    change = (following - y) / noises[1] ** 2 - (output - y) / noises[0] ** 2
    return (noises[1] * change).flatten(1).cpu().double().square().sum(1)


def predictor_cost(denoiser: Denoiser, x: torch.Tensor, start: float, end: float, seed: int = 0) -> torch.Tensor:
    """δ_p for each sample, (B,): ``x`` (B, ...) at time ``start``; costs `predictor_calls` of its size.

    The divergence of samples larger than `EXACT` is estimated from random directions of ``seed``; then single values
    may be negative, and their mean is unbiased. Raises `InvalidModel` where the denoiser cannot be differentiated three
    times in x.

    >>> from fewstep import models, processes
    >>> gaussian = models.Gaussian(processes.VE(), mean=torch.zeros(1), covariance=torch.eye(1))
    >>> x = torch.tensor([[2.0]]).double()
    >>> costs = [float(predictor_cost(gaussian, x, 1.0, end)) for end in (0.9, 0.95)]
    >>> 12 < costs[0] / costs[1] < 20  # half the step, about a sixteenth of the cost
    True
    """
    alphas, noises = _levels(denoiser.process, start, end)
    ratio = noises[1] / noises[0]
    with torch.enable_grad():
        y = (x / alphas[0]).detach().requires_grad_()
        output = denoiser(alphas[0] * y, x.new_full((len(x),), start))
        target = output + ratio * (y - output)  # the DDIM step
        error = 0.5 * (1 - ratio) * (output - denoiser(alphas[1] * target, x.new_full((len(x),), end)))
        along = ((output - y) / noises[0] ** 2 * error).sum()
        try:
            estimates = [
                torch.autograd.grad(along + _divergence(error, y, group), y, retain_graph=True)[0]
                for group in _directions(y, seed)
            ]
        except RuntimeError as reason:
            raise InvalidModel(
                f"the predictor cost wants a denoiser that can be differentiated three times: {reason}; take the "
                "corrector cost"
            ) from reason
    return noises[1] ** 2 * (estimates[0] * estimates[-1]).flatten(1).cpu().double().sum(1)


def predictor_calls(size: int) -> int:
    """Network calls of `predictor_cost` for one sample of ``size`` numbers; a call's derivative counts as one.

    >>> predictor_calls(1), predictor_calls(64)
    (6, 22)
    """
    groups = 1 if size <= EXACT else 2
    return 2 * (1 + groups + (size if groups == 1 else groups * PROBES))


def _divergence(error: torch.Tensor, y: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Sum over the batch of v·∇(v·e) over the ``directions`` (P, B, ...)."""
    total = error.new_zeros(())
    for v in directions:
        (slope,) = torch.autograd.grad((v * error).sum(), y, create_graph=True, retain_graph=True)
        total = total + (v * slope).sum()
    return total


def _directions(y: torch.Tensor, seed: int) -> Iterator[torch.Tensor]:
    """Groups of directions (P, B, ...): one of all unit vectors, or two of random signs whose sums are means."""
    size = y[0].numel()
    if size <= EXACT:
        unit = torch.eye(size, dtype=y.dtype, device=y.device)
        yield unit[:, None].expand(size, len(y), size).reshape(size, *y.shape)
        return
    generator = torch.Generator().manual_seed(seed)
    for _ in range(2):
        signs = torch.randint(2, (PROBES, *y.shape), generator=generator) * 2 - 1
        yield signs.to(y) / PROBES**0.5


def _levels(process: Process, start: float, end: float) -> tuple[list[float], list[float]]:
    """α and σ/α at both times."""
    times = np.array([start, end])
    alphas = process.alpha(times)
    return alphas.tolist(), (process.sigma(times) / alphas).tolist()
