"""Grids at the quantiles of a beta distribution in time: dense at both ends.

Source: Lee et al. 2024, "Beta Sampling is All You Need"; ComfyUI's schedulers ``beta`` (0.6, 0.6) and ``beta57`` (0.5,
0.7). Times are t_end + (t_max − t_end)·q(1 − i/N) with q the quantile function.

The regularised incomplete beta function is its power series where x ≤ 1/2, and by symmetry elsewhere:

    I_x(a, b) = x^a / (a·B(a, b)) · Σ_n (a)_n (1−b)_n / ((a+1)_n n!) · x^n
"""

import math
from functools import cache

import numpy as np

from fewstep.grids.even import place
from fewstep.processes import Process

__all__ = ["beta", "beta57", "quantile"]

TERMS = 64  # of the series: 2^-64 is left
HALVINGS = 60


def beta(process: Process, nfe: int, end: float | None = None, a: float = 0.6, b: float = 0.6) -> tuple[float, ...]:
    """At quantiles of the beta distribution (a, b) in t.

    >>> from fewstep import processes
    >>> [round(t, 4) for t in beta(processes.Flow(), 4)]
    [1.0, 0.8243, 0.5, 0.1757, 0.0]
    """
    shares = _shares(nfe, a, b) if type(nfe) is int and nfe > 0 else None
    return place(process, nfe, end, lambda t: t, lambda u: u, shares)


def beta57(process: Process, nfe: int, end: float | None = None) -> tuple[float, ...]:
    """At quantiles of the beta distribution (0.5, 0.7) in t: a little denser near the data.

    >>> from fewstep import processes
    >>> [round(t, 4) for t in beta57(processes.Flow(), 2)]
    [1.0, 0.3611, 0.0]
    """
    return beta(process, nfe, end, 0.5, 0.7)


@cache
def _shares(nfe: int, a: float, b: float) -> np.ndarray:
    """Shares (N+1,) of the way to the end: a search asks for the same ones hundreds of times."""
    shares = 1 - quantile(1 - np.arange(nfe + 1) / nfe, a, b)
    shares.setflags(write=False)
    return shares


def quantile(shares: np.ndarray, a: float, b: float) -> np.ndarray:
    """The quantiles (n,) of the beta distribution (a, b) at ``shares`` (n,) between 0 and 1, by bisection.

    >>> quantile(np.array([0.0, 0.5, 1.0]), 2.0, 2.0).round(9).tolist()
    [0.0, 0.5, 1.0]
    """
    low, high = np.zeros(len(shares)), np.ones(len(shares))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = _share(middle, a, b) < shares
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    found: np.ndarray = np.where(shares <= 0, 0.0, np.where(shares >= 1, 1.0, (low + high) / 2))
    return found


def _share(x: np.ndarray, a: float, b: float) -> np.ndarray:
    """I_x(a, b), (n,)."""
    share: np.ndarray = np.where(x <= 0.5, _series(np.minimum(x, 0.5), a, b), 1 - _series(np.minimum(1 - x, 0.5), b, a))
    return share


def _series(x: np.ndarray, a: float, b: float) -> np.ndarray:
    total, term = np.ones(len(x)), np.ones(len(x))
    for n in range(TERMS):
        term = term * x * (n + 1 - b) / (n + 1)
        total = total + term * a / (a + n + 1)
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    series: np.ndarray = x**a * total / (a * math.exp(log_beta))
    return series
