"""fewstep: few-step samplers for diffusion models, as schedules that compile to tableaus."""

from typing import TYPE_CHECKING

from fewstep.lazy import lazy_names

if TYPE_CHECKING:
    from fewstep import grids, models, processes, solvers
    from fewstep.sampling.sample import sample, states
    from fewstep.schedule import Schedule, Step, compile
    from fewstep.tableau import Tableau
    from fewstep.tuning import compare, tune

__all__ = [
    "Schedule",
    "Step",
    "Tableau",
    "compare",
    "compile",
    "grids",
    "models",
    "processes",
    "sample",
    "solvers",
    "states",
    "tune",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Schedule": "fewstep.schedule:Schedule",
        "Step": "fewstep.schedule:Step",
        "Tableau": "fewstep.tableau:Tableau",
        "compare": "fewstep.tuning:compare",
        "compile": "fewstep.schedule:compile",
        "grids": "fewstep.grids",
        "models": "fewstep.models",
        "processes": "fewstep.processes",
        "sample": "fewstep.sampling.sample:sample",
        "solvers": "fewstep.solvers",
        "states": "fewstep.sampling.sample:states",
        "tune": "fewstep.tuning:tune",
    },
)
