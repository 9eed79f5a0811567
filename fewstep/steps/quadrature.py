r"""Taylor steps in other variables than λ: moments by Gauss–Legendre quadrature, refined to float64 precision.

    data      M_k =  σ_t ∫ x^k e^{ λ} dλ     in x = t − t_s (or σ/α)
    noise     M_k = −α_t ∫ x^k e^{−λ} dλ     in x = t − t_s: tAB-DEIS (Zhang and Chen 2023, eq. 15)
    velocity  M_k =      ∫ x^k dα, ∫ x^k dσ  in x = t − t_s: Adams and Runge–Kutta steps on dx/dt for linear α, σ

The first two run in λ, where every smooth process is analytic in a strip; the last runs in √(t − t_zero), in which α
and σ are smooth at clean data too. Panels end at the process's knots.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from fewstep.processes import Process

__all__ = ["by_log_snr", "by_time"]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
INFINITE_GAP = 45.0  # length in λ of an integral with an infinite end: e^{−45} is below the rounding of 1
MAX_REFINEMENTS = 8
TOLERANCE = 1e-14  # relative change of the integrals at which refinement stops


def by_log_snr(
    place: Callable[[np.ndarray], np.ndarray], lam: tuple[float, float], knots: np.ndarray, data: bool, count: int
) -> list[float]:
    """∫ x^k e^{λ − λ_t} dλ (``data``) or ∫ x^k e^{λ_s − λ} dλ, k < count, with x = ``place``(λ), from s to t.

    One end may be infinite: s in data form, t in noise form.
    """
    low, high = lam
    if data:
        low = max(low, high - INFINITE_GAP)
    else:
        high = min(high, low + INFINITE_GAP)
    powers = np.arange(count)[:, None]

    def integrand(at: np.ndarray) -> np.ndarray:
        weighted: np.ndarray = place(at) ** powers * (np.exp(at - high) if data else np.exp(low - at))
        return weighted

    return _refined(integrand, _edges(low, high, knots, 2.0))


def by_time(process: Process, start: float, target: float, count: int) -> tuple[list[float], list[float]]:
    """∫ x^k dα and ∫ x^k dσ, k < count, with x = t − t_s, from t_s down to t_t: integrated by parts."""
    zero = process.t_zero
    powers = np.arange(1, count)[:, None]
    low, high = (float(np.sqrt(t - zero)) for t in (target, start))
    knots = np.sqrt(np.asarray(process.knots, dtype=np.float64) - zero)
    edges = _edges(low, high, knots, (high - low) / 4)
    results = []
    scales: tuple[Callable[[Any], Any], ...] = (process.alpha, process.sigma)
    for scale in scales:
        whole = [float(scale(target) - scale(start))]

        def integrand(root: np.ndarray, scale: Callable[[Any], Any] = scale) -> np.ndarray:
            at = zero + root * root
            # scale − scale(target): only the change counts, and the boundary term at the target then vanishes
            change: np.ndarray = powers * (at - start) ** (powers - 1) * (scale(at) - scale(target)) * 2.0 * root
            return change

        rest = _refined(integrand, edges) if count > 1 else []  # from the target up to the start: both signs cancel
        results.append([*whole, *rest])
    return results[0], results[1]


def _edges(low: float, high: float, knots: np.ndarray, longest: float) -> np.ndarray:
    """Edges of panels from ``low`` to ``high``, at every knot between and at most ``longest`` apart."""
    inner = knots[(knots > low) & (knots < high)]
    corners = np.unique(np.concatenate([[low], inner, [high]]))
    parts = [np.linspace(a, b, max(int(np.ceil((b - a) / longest)), 1) + 1)[:-1] for a, b in pairwise(corners)]
    return np.append(np.concatenate(parts), high)


def _refined(integrand: Callable[[np.ndarray], np.ndarray], edges: np.ndarray) -> list[float]:
    """The integrals (count,) of ``integrand``, (P,) -> (count, P); panels are halved until both agree."""
    value = _gauss(integrand, edges)
    for _ in range(MAX_REFINEMENTS):
        edges = np.sort(np.append(edges, (edges[1:] + edges[:-1]) / 2))
        before = value
        value = _gauss(integrand, edges)
        if np.all(np.abs(value - before) <= TOLERANCE * np.abs(value)):
            break
    result: list[float] = value.tolist()
    return result


def _gauss(integrand: Callable[[np.ndarray], np.ndarray], edges: np.ndarray) -> np.ndarray:
    half = np.diff(edges) / 2
    middle = (edges[1:] + edges[:-1]) / 2
    values = integrand((middle[:, None] + half[:, None] * NODES).reshape(-1))
    total: np.ndarray = (values.reshape(len(values), len(half), len(NODES)) @ WEIGHTS) @ half
    return total
