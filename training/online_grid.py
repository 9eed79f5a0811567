"""Online grid: noise levels of a training run move to where the scores change (Williams et al. 2024, alg. 2).

Between training updates, estimate what each gap of the present levels costs, and move a little towards equal costs:

    λ ← γ λ* + (1 − γ) λ,    λ* the levels at which Λ = Σ √cost is even,    γ from 0.01 to 0.1

Levels are log-SNRs λ = log(α/σ), rising, (K+1,); both ends stay. A gap's cost is weighted with its noisier level: the
other weight of the paper saturates on long gaps, and levels that follow it run away to one end.
"""

import numpy as np
import torch

from fewstep.errors import InvalidInput
from fewstep.grids.monotone import invert_length
from fewstep.grids.score_cost import corrector_cost
from fewstep.models import Denoiser

__all__ = ["estimate", "update"]


@torch.no_grad()
def estimate(denoiser: Denoiser, log_snrs: np.ndarray, data: torch.Tensor, noise: torch.Tensor) -> np.ndarray:
    """Mean cost of each gap between ``log_snrs`` (K+1,), finite and rising -> (K,); 2·n·K network calls.

    ``data`` (n, ...) clean samples, ``noise`` the same shape, standard normal, paired anew at each level.
    """
    process, times = denoiser.process, denoiser.process.time(log_snrs)
    costs = []
    for k, (start, end) in enumerate(zip(times[:-1].tolist(), times[1:].tolist(), strict=True)):
        x = process.alpha(start) * data + process.sigma(start) * noise.roll(k, 0)
        cost = corrector_cost(denoiser, x, denoiser(x, x.new_full((len(x),), start)), start, end)
        costs.append(float(cost.mean()) * float(np.exp(2 * (log_snrs[k + 1] - log_snrs[k]))))
    return np.array(costs)


def update(log_snrs: np.ndarray, costs: np.ndarray, rate: float = 0.05) -> np.ndarray:
    """The levels (K+1,) after one step of size ``rate`` towards equal ``costs`` (K,); the ends to the last bit.

    Raises `InvalidInput` where ``rate`` is outside (0, 1], or where costs are negative, not finite, all zero or not one
    for each gap.

    >>> update(np.array([0.0, 1.0, 2.0]), np.array([9.0, 1.0]), rate=1.0).round(3).tolist()
    [0.0, 0.498, 2.0]
    """
    if not 0 < rate <= 1:
        raise InvalidInput(f"a grid's rate lies in (0, 1], got {rate}")
    if np.shape(costs) != (len(log_snrs) - 1,) or not np.all(np.asarray(costs) >= 0):
        raise InvalidInput(f"{len(log_snrs)} levels want {len(log_snrs) - 1} costs >= 0, got {str(costs)[:80]}")
    even = invert_length(log_snrs, np.sqrt(costs), np.linspace(0, 1, len(log_snrs)))
    moved: np.ndarray = rate * even + (1 - rate) * log_snrs
    moved[[0, -1]] = log_snrs[[0, -1]]
    return moved
