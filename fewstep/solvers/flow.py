"""Euler and Heun on the velocity, for flow matching: solvers of dx/dσ, σ the shifted time."""

from fewstep.solvers.base import Solver, Stage
from fewstep.steps.step import Step

__all__ = ["FLOW"]

FLOW_HEUN = (
    (Stage(1.0, Step()),),
    (Stage(1.0, Step()), Stage(1.0, Step(order=2, weights=(1 / 2, 1 / 2), start=-2, variable="velocity"))),
)

FLOW = (
    Solver("flow-euler", 1, "Lipman et al. 2023 (flow matching), Euler's method", (Step(),), only="flow"),
    Solver("flow-heun", 2, "Lipman et al. 2023 (flow matching), Heun's method", blocks=FLOW_HEUN, only="flow"),
)
