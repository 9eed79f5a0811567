"""A tableau's exact error on a one-dimensional mixture of two Gaussians: non-linear, unlike the Gaussian forecasts.

    p(x_0) = ½ N(−m, s²) + ½ N(m, s²),   D(x, t) = μ + (α s²/v)(x − α μ),   μ = m tanh(α m x/v),   v = α² s² + σ²

In one dimension the probability flow keeps quantiles, F_end(y_end) = F_start(y_start), so the truth needs no solver.

| symbol | meaning | shape |
|---|---|---|
| y | states of q start noises, evenly spread in probability; positive ones only, as the flow is odd | (M, q) |
| F | distribution function of a marginal, ½ Φ((y − α m)/√v) + ½ Φ((y + α m)/√v) | |
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, ndtri

from fewstep.processes import Process
from fewstep.tableau import Tableau

__all__ = ["errors"]

NOISES = 16
WITHIN = 0.02  # share of the variance inside a mode: two sharp modes, between which the flow must decide
BISECTIONS = 60


def errors(process: Process, tableaus: Sequence[Tableau], variance: float) -> np.ndarray:
    """Root mean square end errors (M,) on the mixture of ``variance`` > 0, from y_0 = prior_std · noise."""
    within, mode = WITHIN * variance, np.sqrt((1 - WITHIN) * variance)
    times = np.array([tableau.times for tableau in tableaus])  # (M, N+1)
    starts = np.array([tableau.start for tableau in tableaus])
    weights = np.array([tableau.outputs for tableau in tableaus])
    alpha, sigma = process.alpha(times)[..., None], process.sigma(times)[..., None]  # (M, N+1, 1)
    spread = alpha**2 * within + sigma**2
    first = process.prior_std * ndtri(0.5 + (np.arange(NOISES) + 0.5) / (2 * NOISES))  # (q,)
    state = np.broadcast_to(first, (len(times), NOISES))
    outputs = np.zeros((*weights.shape[:2], NOISES))
    for i in range(weights.shape[1]):
        a, v = alpha[:, i], spread[:, i]
        centre = mode * np.tanh(a * mode * state / v)
        outputs[:, i] = centre + a * within / v * (state - a * centre)
        state = starts[:, i, None] * first + (weights[:, i, None] @ outputs)[:, 0]
    _, few, which = np.unique(times[:, [0, -1]], axis=0, return_index=True, return_inverse=True)  # most share both ends
    begin, end = ((mode * alpha[few, i], np.sqrt(spread[few, i])) for i in (0, -1))
    exact = _quantiles(_distribution(first, *begin), *end)[which.ravel()]
    result: np.ndarray = np.sqrt(np.mean((state - exact) ** 2, axis=1))
    return result


def _distribution(y: np.ndarray, centre: np.ndarray, width: np.ndarray) -> np.ndarray:
    """F(y) of two modes at ±centre, elementwise."""
    both: np.ndarray = 0.5 * ndtr((y - centre) / width) + 0.5 * ndtr((y + centre) / width)
    return both


def _quantiles(shares: np.ndarray, centre: np.ndarray, width: np.ndarray) -> np.ndarray:
    """The y with F(y) = ``shares`` (M, q), all at least one half, by bisection."""
    low = np.zeros_like(shares)
    high = np.broadcast_to(centre + 10 * width, shares.shape).copy()
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        below = _distribution(middle, centre, width) < shares
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    result: np.ndarray = 0.5 * (low + high)
    return result
