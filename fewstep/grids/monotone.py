"""Monotone interpolation: piecewise cubics that never overshoot, and the inverse of a growing length.

Slopes are weighted harmonic means of the neighbouring secants (Fritsch and Butland 1984; the "PCHIP" of Fritsch and
Carlson 1980), so the curve rises wherever the points do.
"""

import numpy as np

from fewstep.errors import InvalidInput

__all__ = ["interpolate", "invert_length"]


def interpolate(knots: np.ndarray, values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The curve through (``knots``, ``values``), both (K,), at ``where`` (M,) -> (M,); flat beyond both ends.

    ``knots`` rise; raises `InvalidInput` where they do not, or where there are fewer than two.

    >>> interpolate(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0]), np.array([0.5, 1.5])).tolist()
    [0.5, 1.5]
    """
    gaps = np.diff(knots)
    if len(knots) < 2 or len(knots) != len(values) or not np.all(gaps > 0):
        raise InvalidInput(f"a curve wants two or more rising knots, a value for each; got {str(knots)[:80]}")
    slopes = _slopes(gaps, np.diff(values) / gaps)
    where = np.clip(where, knots[0], knots[-1])
    k = np.clip(np.searchsorted(knots, where, side="right") - 1, 0, len(gaps) - 1)
    h = gaps[k]
    u = (where - knots[k]) / gaps[k]
    # cubic Hermite basis
    rise = u * u * (3 - 2 * u)
    fall = (1 - u) ** 2 * (1 + 2 * u)
    bend = h * u * (1 - u) * ((1 - u) * slopes[k] - u * slopes[k + 1])
    curve: np.ndarray = fall * values[k] + rise * values[k + 1] + bend
    return curve


def _slopes(gaps: np.ndarray, secants: np.ndarray) -> np.ndarray:
    """The curve's slope at every knot, (K,)."""
    if len(secants) == 1:
        return np.repeat(secants, 2)
    before = secants[:-1]
    after = secants[1:]
    h = gaps[:-1]
    g = gaps[1:]
    agree = before * after > 0
    safe_before = np.where(agree, before, 1.0)
    safe_after = np.where(agree, after, 1.0)
    weights = 2 * g + h, g + 2 * h
    inner = sum(weights) / (weights[0] / safe_before + weights[1] / safe_after)
    first = _edge_slope(gaps[0], gaps[1], secants[0], secants[1])
    last = _edge_slope(gaps[-1], gaps[-2], secants[-1], secants[-2])
    return np.concatenate([[first], np.where(agree, inner, 0.0), [last]])


def _edge_slope(h: float, g: float, near: float, far: float) -> float:
    """One-sided slope at the first or last knot: three-point formula, limited so that the curve stays monotone."""
    slope = ((2 * h + g) * near - h * far) / (h + g)
    if slope * near <= 0:
        return 0.0
    return 3 * near if near * far < 0 and abs(slope) > 3 * abs(near) else slope


def invert_length(knots: np.ndarray, increments: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Positions (M,) where a length that grows by ``increments`` (K−1,) over ``knots`` (K,) reaches ``shares`` (M,).

    Raises `InvalidInput` where an increment is negative or not finite, or where nothing grows.

    >>> invert_length(np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0]), np.array([0.25, 0.5])).tolist()
    [0.5, 1.0]
    """
    total = float(np.sum(increments))
    if not (np.all(np.isfinite(increments)) and np.all(increments >= 0) and total > 0):
        raise InvalidInput(f"a length wants finite increments >= 0 that are not all zero, got {str(increments)[:80]}")
    length = np.concatenate([[0.0], np.cumsum(increments)]) / total
    grows = np.concatenate([[True], np.diff(length) > np.finfo(np.float64).eps])  # of knots at one length the first
    return interpolate(length[grows], knots[grows], shares)
