r"""Exponential multistep: integrate a Taylor polynomial of the network's output exactly in λ.

    data   x_t = (σ_t/σ_s) x_s + α_t Σ_k h^{k+1} φ_{k+1}(−h) D_k,   f = D
    noise  x_t = (α_t/α_s) x_s − σ_t Σ_k h^{k+1} φ_{k+1}( h) D_k,   f = ε

Source: DPM-Solver (Lu et al. 2022, eq. 3.4–3.7), DPM-Solver++ (Lu et al. 2022, eq. 8–9), USF (Liu et al. 2024).

| symbol | meaning | shape |
|---|---|---|
| s, t | start and target of the step | |
| h | λ_t − λ_s > 0 | |
| Δ_p | λ_p − λ_s of the older outputs, nearest first | (m,) |
| D_0 | f(s) | |
| D_k | k-th λ-derivative at s of the polynomial through f(s) and the m older outputs | |
| z | −h in data form, h in noise form | |
"""

import math
from collections.abc import Callable

import numpy as np

from fewstep.phi import phi

__all__ = ["SCALES", "first_factor", "output_weights"]


def _bh1(z: float) -> float:
    return 0.5 * z * z / (math.expm1(z) - z)


def _bh2(z: float) -> float:
    return 0.5 * z * math.expm1(z) / (math.expm1(z) - z)


# How the first derivative is scaled, from (z, c·h) with c the step's slope; each tends to 1 with h.
SCALES: dict[str, Callable[[float, float], float]] = {
    "none": lambda z, rise: 1.0,
    "bh1": lambda z, rise: _bh1(z),  # UniPC's B(h) = h (Zhao et al. 2023, section 3.4)
    "bh2": lambda z, rise: _bh2(z),  # UniPC's B(h) = e^h − 1; also DPM-Solver's own second-order coefficient
    "linear": lambda z, rise: 1.0 + rise,  # USF's relaxation 1 + c·h (Liu et al. 2024)
}


def first_factor(gap: float, prediction: str, scale: str, slope: float) -> float:
    """What the first derivative is multiplied with in a step of λ-gap ``gap``."""
    return SCALES[scale](-gap if prediction == "data" else gap, slope * gap)


def output_weights(
    gap: float, older: np.ndarray, prediction: str, scale: str, slope: float, second: float
) -> np.ndarray:
    """Weights of f(s) and of the older outputs in Σ_k h^{k+1} φ_{k+1}(z) D_k, the factor α_t or −σ_t left out.

    ``gap`` is h > 0; ``older`` (m,) holds Δ_p < 0; ``scale`` with ``slope`` multiplies D_1, ``second`` multiplies D_2.
    Returns (m + 1,), float64, the weight of f(s) first.
    """
    count = len(older)
    z = -gap if prediction == "data" else gap
    terms = np.array([gap ** (k + 1) * phi(k + 1, z) for k in range(count + 1)])
    if count >= 1:
        terms[1] *= first_factor(gap, prediction, scale, slope)
    if count >= 2:
        terms[2] *= second
    powers = np.arange(1, count + 1)[:, None]
    taylor = older[None, :] ** powers / np.array([math.factorial(k) for k in range(1, count + 1)])[:, None]  # (m, m)
    weights = np.linalg.solve(taylor, np.eye(count)) @ terms[1:] if count else np.zeros(0)
    return np.concatenate([[terms[0] - weights.sum()], weights])
