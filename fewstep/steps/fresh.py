r"""Fresh noise: the shares of predicted and of new noise in a stochastic step.

A step to σ_t takes κ of the noise that the outputs predict and adds the rest anew, which leaves the variance at σ_t²:

    x_t = … + σ_t·(κ·ε + √(1 − κ²)·z)

| kind | 1 − κ² | η = 1 is |
|---|---|---|
| ``ancestral`` | η²·(1 − e^{−2h}) | DDPM (Ho et al. 2020), η of DDIM (Song et al. 2021, eq. 16) |
| ``bridge`` | η²·(1 − σ_t²/σ_s²) | decoupled diffusion (Huang et al. 2023, eq. 15) |
| ``langevin`` | 1 − e^{−2η²h} | the reverse SDE; η is τ of SA-Solver (Xue et al. 2023, eq. 8) |

With h = λ_t − λ_s. The first and the last agree at η = 1.
"""

import math
from collections.abc import Callable

__all__ = ["KINDS", "shares"]

# (κ², 1 − κ²) from (η², h, σ_t/σ_s), each without cancellation
KINDS: dict[str, Callable[[float, float, float], tuple[float, float]]] = {
    "ancestral": lambda square, gap, ratio: (1 - square + square * math.exp(-2 * gap), -square * math.expm1(-2 * gap)),
    "bridge": lambda square, gap, ratio: (1 - square + square * ratio**2, square * (1 - ratio) * (1 + ratio)),
    "langevin": lambda square, gap, ratio: (math.exp(-2 * square * gap), -math.expm1(-2 * square * gap)),
}


def shares(kind: str, eta: float, gap: float, ratio: float) -> tuple[float, float]:
    """(κ, √(1 − κ²)) of a step with λ-gap ``gap`` (infinite at either end) and ``ratio`` = σ_t/σ_s.

    >>> shares("ancestral", 1.0, float("inf"), 0.5)
    (0.0, 1.0)
    """
    if not eta:
        return 1.0, 0.0
    old, new = KINDS[kind](eta * eta, gap, ratio)
    return math.sqrt(old), math.sqrt(new)
