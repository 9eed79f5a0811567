r"""Weights of outputs in a Taylor step whose derivatives are estimated by finite differences.

A step integrates the polynomial c_0 + c_1 x + … + c_{n−1} x^{n−1} in a variable x that is 0 at the step's start s:

    Σ_k M_k·c_k,    c_0 = f(s),    c_k = coefficient of x^k in the polynomial through f(s) and the outputs in A_k

| symbol | meaning | shape |
|---|---|---|
| M_k | moments: the integral of x^k over the step | (n,) |
| A_k | outputs that estimate the k-th derivative, without s; k or more of them | (m,) |
| x_p | x at output p | |
| ℓ_p | x Π_q (x − x_q) / (x_p Π_q (x_p − x_q)), q ≠ p in A_k: c_k = Σ_p (f_p − f(s))·[x^k] ℓ_p | |

Source: USF (Liu et al. 2024), "full" order where all A_k are the same n − 1 outputs, "low" order otherwise.
"""

from collections.abc import Mapping, Sequence

__all__ = ["combine"]


def combine(
    moments: Sequence[float], sets: Sequence[Sequence[int]], places: Mapping[int, float], start: int
) -> dict[int, float]:
    """Weight of each output in Σ_k M_k·c_k: ``moments`` (n,), ``sets`` A_1 … A_{n−1}, ``places`` x_p by output.

    Exact to rounding however close the outputs lie, where all of them lie on one side of the start.

    >>> combine([1.0, 0.5], [[-2]], {-2: -1.0}, -1)  # half a step further along the slope
    {-1: 1.5, -2: -0.5}
    """
    weights: dict[int, float] = {}
    for each in dict.fromkeys(tuple(each) for each in sets):  # derivatives with the same outputs share their basis
        orders = [k for k, other in enumerate(sets, start=1) if tuple(other) == each]
        for p in each:
            basis = [1.0]
            size = places[p]
            for q in each:
                if q != p:  # multiply by (x − x_q), lowest power first
                    raised = [0.0, *basis]
                    lowered = [*basis, 0.0]
                    basis = [high - places[q] * low for high, low in zip(raised, lowered, strict=True)]
                    size *= places[p] - places[q]
            weights[p] = weights.get(p, 0.0) + sum(basis[k - 1] * moments[k] for k in orders) / size
    return {start: moments[0] - sum(weights.values()), **weights}
