r"""The φ functions of exponential integrators, stable for every argument.

    φ_0(z) = e^z,   φ_{k+1}(z) = (φ_k(z) − 1/k!) / z,   φ_k(0) = 1/k!

Source: Hochbruck and Ostermann, "Exponential integrators", Acta Numerica 2010, eq. (2.11). The recursion loses
about eps·k!/|z|^k, so the Taylor series Σ_j z^j/(j+k)! takes over for |z| < 1.
"""

import math

__all__ = ["phi"]

SERIES_TERMS = 20  # 1/20! is below float64's unit round-off for |z| < 1


def phi(k: int, z: float) -> float:
    """φ_k(z) for k ≥ 0 and finite z, to a few units in the last place.

    >>> phi(0, 0.0), phi(1, 0.0), phi(2, 0.0)
    (1.0, 1.0, 0.5)
    """
    if abs(z) < 1.0:
        term = 1.0 / math.factorial(k)
        total = term
        for j in range(1, SERIES_TERMS):
            term *= z / (j + k)
            total += term
        return total
    if k == 0:
        return math.exp(z)
    value = math.expm1(z) / z
    for j in range(1, k):
        value = (value - 1.0 / math.factorial(j)) / z
    return value
