"""Solvers of dx/dσ, as in EDM and k-diffusion: the noise prediction in ρ = σ/α, on x/α."""

from fewstep.solvers.base import Solver, Stage
from fewstep.steps.step import Step

__all__ = ["EDM"]

PAPER = "Karras et al. 2022 (EDM)"
EDM_HEUN = (
    (Stage(1.0, Step("noise")),),
    (Stage(1.0, Step("noise")), Stage(1.0, Step("noise", 2, start=-2, variable="rho"))),
)

EDM = (
    Solver("euler", 1, f"{PAPER}, algorithm 1 without lines 6–8", (Step("noise"),)),
    Solver("heun", 2, f"{PAPER}, algorithm 1", blocks=EDM_HEUN),
    *(
        Solver(
            f"lms-{order}",
            order,
            "Crowson 2022 (k-diffusion), linear multistep",
            tuple(Step("noise", k, variable="rho") for k in range(1, order + 1)),
            lowers=False,
        )
        for order in (1, 2, 3, 4)
    ),
)
