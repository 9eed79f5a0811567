r"""The φ functions of exponential integrators, stable for every argument.

    φ_0(z) = e^z,   φ_{k+1}(z) = (φ_k(z) − 1/k!) / z,   φ_k(0) = 1/k!

Source: Hochbruck and Ostermann, "Exponential integrators", Acta Numerica 2010, eq. (2.11). The recursion loses a
factor of about k!/|z|^k and the Taylor series Σ_j z^j/(j+k)! one of about e^{2|z|/(k+1)}, so they meet at |z| = k.
"""

import math
from typing import TypeVar

import numpy as np

__all__ = ["expm1", "phi"]

Number = TypeVar("Number", float, np.ndarray)

SERIES_TERMS = 40  # for |z| < k <= 5 the rest is below float64's unit round-off


def phi(k: int, z: Number) -> Number:
    """φ_k(z) for 0 ≤ k ≤ 5 and finite z, a number or an array, to a few units in the last place.

    >>> phi(0, 0.0), phi(1, 0.0), phi(2, 0.0), phi(2, np.zeros(2)).tolist()
    (1.0, 1.0, 0.5, [0.5, 0.5])
    """
    if isinstance(z, np.ndarray):
        result: np.ndarray = np.empty_like(z)
        near = np.abs(z) < k
        result[near], result[~near] = _series(k, z[near]), _recursion(k, z[~near])
        return result
    return _series(k, z) if abs(z) < k else _recursion(k, z)


def expm1(z: Number) -> Number:
    """e^z − 1 of a number or an array."""
    value: Number = np.expm1(z) if isinstance(z, np.ndarray) else math.expm1(z)
    return value


def _series(k: int, z: Number) -> Number:
    term = 0.0 * z + 1.0 / math.factorial(k)
    total = term
    for j in range(1, SERIES_TERMS):
        term = term * (z / (j + k))
        total = total + term
    return total


def _recursion(k: int, z: Number) -> Number:
    if k == 0:
        power: Number = np.exp(z) if isinstance(z, np.ndarray) else math.exp(z)
        return power
    value: Number = expm1(z) / z
    for j in range(1, k):
        value = (value - 1.0 / math.factorial(j)) / z
    return value
