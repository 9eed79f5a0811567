"""DEIS and iPNDM: the noise prediction as a polynomial in t or in ρ = σ/α, or with fixed Adams–Bashforth weights.

The number in a name is the count of outputs: deis-3 is the paper's tAB2, whose polynomial has degree 2.
"""

from fewstep.solvers.base import Solver
from fewstep.steps.step import Step

__all__ = ["ADAMS", "DEIS"]

PAPER = "Zhang and Chen 2023 (DEIS)"
# Adams–Bashforth weights, latest output first, by the number of outputs
ADAMS = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


def _in(variable: str, order: int) -> tuple[Step, ...]:
    return tuple(Step("noise", k, variable=variable) for k in range(1, order + 1))


def _fixed(order: int) -> tuple[Step, ...]:
    return tuple(Step("noise", k, weights=ADAMS[k - 1]) for k in range(1, order + 1))


DEIS = (
    *(Solver(f"deis-{k}", k, f"{PAPER}, tAB{k - 1}", _in("t", k)) for k in (1, 2, 3, 4)),
    *(Solver(f"rho-deis-{k}", k, f"{PAPER}, ρAB{k - 1}", _in("rho", k)) for k in (1, 2, 3)),
    *(Solver(f"ipndm-{k}", min(k, 2), f"{PAPER}, iPNDM", _fixed(k), lowers=False) for k in (1, 2, 3, 4)),
)
