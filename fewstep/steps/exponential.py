r"""Taylor steps in λ: the exact exponential integral of a polynomial in log-SNR.

A step from s to t with h = λ_t − λ_s extrapolates the network's data prediction D or its noise prediction ε:

    data   x_t = (σ_t/σ_s) x_s + α_t Σ_k h^{k+1} φ_{k+1}(−h) D_k,   f = D
    noise  x_t = (α_t/α_s) x_s − σ_t Σ_k h^{k+1} φ_{k+1}( h) D_k,   f = ε

Source: DPM-Solver (Lu et al. 2022, eq. 3.4–3.7), DPM-Solver++ (Lu et al. 2022, eq. 8–9), USF (Liu et al. 2024). A step
that keeps κ = e^{−τ²h} of its noise has c = 1 + τ² in place of the rate 1 (SDE-DPM-Solver++, SA-Solver):

    x_t = κ (σ_t/σ_s) x_s + α_t Σ_k c h^{k+1} φ_{k+1}(−c h) D_k + σ_t √(1 − κ²) z

| symbol | meaning | shape |
|---|---|---|
| s, t | start and target of the step | |
| h | λ_t − λ_s > 0 | |
| D_0 | f(s) | |
| D_k | k-th λ-derivative at s of the polynomial through f(s) and other outputs (`fewstep.steps.difference`) | |
| z | −c·h in data form, h in noise form | |
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fewstep.steps.phi import expm1, phi

__all__ = ["SCALES", "first_factor", "first_factors", "moments"]

# Factor of the first derivative from (z, slope·h), numbers or arrays; each tends to 1 as h tends to 0.
SCALES: dict[str, Callable[[Any, Any], Any]] = {
    "none": lambda z, rise: 1.0,
    "bh1": lambda z, rise: 0.5 / phi(2, z),  # UniPC's B(h) = h (Zhao et al. 2023, section 3.4)
    "bh2": lambda z, rise: 0.5 * phi(1, z) / phi(2, z),  # UniPC's B(h) = e^h − 1; second order of DPM-Solver
    "0.5exp": lambda z, rise: 1.0 + 0.5 * expm1(z),  # USF (Liu et al. 2024)
    "-0.5exp": lambda z, rise: 1.0 - 0.5 * expm1(z),
    "linear": lambda z, rise: 1.0 + rise,  # USF's relaxation 1 + c·h
}


def first_factor(gap: float, prediction: str, scale: str, slope: float, rate: float = 1.0) -> float:
    """Factor of the first derivative in a step of λ-gap ``gap``; ``rate`` is c."""
    factor: float = SCALES[scale](-rate * gap if prediction == "data" else gap, slope * gap)
    return factor


def first_factors(gaps: np.ndarray, prediction: np.ndarray, scale: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """`first_factor` of arrays of one shape, at rate 1.

    >>> one = first_factor(0.5, "data", "bh2", 0.0)
    >>> bool(np.isclose(first_factors(np.array([0.5]), np.array(["data"]), np.array(["bh2"]), np.zeros(1))[0], one))
    True
    """
    z = np.where(prediction == "noise", gaps, -gaps)
    cases = {name: factor(z, slope * gaps) for name, factor in SCALES.items()}
    return np.select([scale == name for name in cases], list(cases.values()))


def moments(gap: float, rate: float, count: int) -> list[float]:
    """M_k = k! h^{k+1} φ_{k+1}(rate·h), k = 0 … count − 1: the integral of x^k e^{rate·(h − x)} over the step."""
    return [math.factorial(k) * (gap ** (k + 1) * phi(k + 1, rate * gap)) for k in range(count)]
