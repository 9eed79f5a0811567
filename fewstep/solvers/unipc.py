"""UniPC: a Taylor predictor in data prediction, and a corrector from the next call's output, at no extra call."""

from fewstep.solvers.base import Solver
from fewstep.steps.step import Step

__all__ = ["UNIPC"]


def _ladder(order: int, scale: str) -> tuple[Step, ...]:
    """Steps of order 1 to ``order``; where only one derivative is estimated, its coefficient is B(h)/2."""
    return tuple(
        Step(
            "data",
            p,
            scale if p == 2 else "none",
            corrector=p + 1,
            corrector_scale=scale if p == 1 else "none",
        )
        for p in range(1, order + 1)
    )


UNIPC = tuple(
    Solver(f"unipc-{order}-{scale}", order + 1, "Zhao et al. 2023 (UniPC), algorithms 5 and 6", _ladder(order, scale))
    for order in (1, 2, 3)
    for scale in ("bh1", "bh2")
)
