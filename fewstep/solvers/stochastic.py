"""Solvers that add fresh noise: ancestral sampling (DDPM) and SA-Solver."""

from fewstep.solvers.base import Solver
from fewstep.steps.step import Step

__all__ = ["STOCHASTIC"]


def _sa(order: int) -> tuple[Step, ...]:
    """Stochastic Adams with τ = 1: ``order`` outputs in the predictor and, the new one included, in the corrector.

    Where one derivative is estimated its coefficient is bh1's, as in the paper's code.
    """
    most = max(order, 2)
    return tuple(
        Step(
            "data",
            k,
            "bh1" if k == 2 else "none",
            corrector=min(most, k + 1),
            corrector_scale="bh1" if min(most, k + 1) == 2 else "none",
            eta=1.0,
            noise="langevin",
        )
        for k in range(1, order + 1)
    )


STOCHASTIC = (
    Solver("ddpm", 1, "Ho et al. 2020 (DDPM), algorithm 2, posterior variance", (Step(eta=1.0),)),
    *(Solver(f"sa-solver-{order}", 1, "Xue et al. 2023 (SA-Solver), algorithm 1", _sa(order)) for order in (1, 2, 3)),
)
