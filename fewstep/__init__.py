"""fewstep: few-step samplers for diffusion models, as schedules that compile to tableaus."""

from fewstep import grids, models, processes, solvers
from fewstep.sampling.sample import sample, states
from fewstep.schedule import Schedule, Step, compile
from fewstep.tableau import Tableau

__all__ = ["Schedule", "Step", "Tableau", "compile", "grids", "models", "processes", "sample", "solvers", "states"]
