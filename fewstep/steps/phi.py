r"""The φ functions of exponential integrators, stable for every argument.

    φ_0(z) = e^z,   φ_{k+1}(z) = (φ_k(z) − 1/k!) / z,   φ_k(0) = 1/k!

Source: Hochbruck and Ostermann, "Exponential integrators", Acta Numerica 2010, eq. (2.11). The recursion loses a
factor of about k!/|z|^k and the Taylor series Σ_j z^j/(j+k)! one of about e^{2|z|/(k+1)}, so they meet at |z| = k.
"""

import math

__all__ = ["phi"]

SERIES_TERMS = 40  # for |z| < k <= 5 the rest is below float64's unit round-off


def phi(k: int, z: float) -> float:
    """φ_k(z) for 0 ≤ k ≤ 5 and finite z, to a few units in the last place.

    >>> phi(0, 0.0), phi(1, 0.0), phi(2, 0.0)
    (1.0, 1.0, 0.5)
    """
    if k == 0:
        return math.exp(z)
    if abs(z) < k:
        term = 1.0 / math.factorial(k)
        total = term
        for j in range(1, SERIES_TERMS):
            term *= z / (j + k)
            total += term
        return total
    value = math.expm1(z) / z
    for j in range(1, k):
        value = (value - 1.0 / math.factorial(j)) / z
    return value
