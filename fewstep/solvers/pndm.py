"""PNDM: Runge–Kutta strides for the first outputs, then fixed Adams–Bashforth weights, all on DDIM's transfer.

With fewer calls than the published start needs, it takes the strides that fit, and less history lowers the order.
"""

from fewstep.solvers.base import Solver, Stage
from fewstep.solvers.deis import ADAMS
from fewstep.steps.step import Step

__all__ = ["PNDM"]

# The stages take the whole stride from its start, with the latest output or a fixed average of several.
SECOND = (
    Stage(1.0, Step("noise")),
    Stage(1.0, Step("noise", 2, weights=(1 / 2, 1 / 2), start=-2)),
)
FOURTH = (
    Stage(1 / 2, Step("noise")),
    Stage(1 / 2, Step("noise", weights=(1.0,), start=-2)),
    Stage(1.0, Step("noise", weights=(1.0,), start=-3)),
    Stage(1.0, Step("noise", 4, weights=(1 / 6, 1 / 3, 1 / 3, 1 / 6), start=-4)),
)


def _solver(name: str, order: int, block: tuple[Stage, ...], starts: int, algorithm: str) -> Solver:
    ladder = tuple(Step("noise", k, weights=ADAMS[k - 1]) for k in range(1, order + 1))
    single = (Stage(1.0, Step()),)
    blocks = (*[single] * (len(block) - 1), block)
    source = f"Liu et al. 2022 (PNDM), {algorithm}"
    return Solver(name, 2, source, ladder, blocks, starts, inside="t", lowers=False)


PNDM = (
    _solver("s-pndm", 2, SECOND, 1, "eq. 21"),
    _solver("f-pndm", 4, FOURTH, 3, "algorithm 2"),
)
