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
| ℓ_p | x Π_q (x − Δ_q) / (Δ_p Π_q (Δ_p − Δ_q)), q ≠ p: its Lagrange basis; x = λ − λ_s | |
| z | −h in data form, h in noise form | |
"""

import math
from collections.abc import Callable

import numpy as np

from fewstep.phi import phi

__all__ = ["SCALES", "first_factor", "output_weights"]


# How the first derivative is scaled, from (z, c·h) with c the step's slope; each tends to 1 with h.
SCALES: dict[str, Callable[[float, float], float]] = {
    "none": lambda z, rise: 1.0,
    "bh1": lambda z, rise: 0.5 / phi(2, z),  # UniPC's B(h) = h (Zhao et al. 2023, section 3.4)
    "bh2": lambda z, rise: 0.5 * phi(1, z) / phi(2, z),  # UniPC's B(h) = e^h − 1; DPM-Solver's own second order
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
    terms = [gap ** (k + 1) * phi(k + 1, z) for k in range(count + 1)]
    if count >= 1:
        terms[1] *= first_factor(gap, prediction, scale, slope)
    if count >= 2:
        terms[2] *= second
    moments = [math.factorial(k) * term for k, term in enumerate(terms)]  # of x^k, where terms are of x^k/k!
    points, weights = older.tolist(), []
    for p, point in enumerate(points):
        basis, size = [1.0], point
        for q, other in enumerate(points):
            if q != p:  # multiply by (x − Δ_q), lowest power first; all Δ_q < 0, so that nothing cancels
                basis = [left - other * right for left, right in zip([0.0, *basis], [*basis, 0.0], strict=True)]
                size *= point - other
        weights.append(sum(b * moment for b, moment in zip(basis, moments[1:], strict=True)) / size)
    return np.array([terms[0] - sum(weights), *weights])
