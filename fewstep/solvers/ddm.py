"""The samplers of decoupled diffusion models, for the process `fewstep.processes.DDM`."""

from fewstep.solvers.base import Solver
from fewstep.steps.step import Step

__all__ = ["DDM"]

PAPER = "Huang et al. 2023 (decoupled diffusion)"

DDM = (
    Solver("ddm", 1, f"{PAPER}, deterministic", (Step(),), only="ddm"),
    Solver("ddm-sde", 1, f"{PAPER}, eq. 15", (Step(eta=1.0, noise="bridge"),), only="ddm"),
)
