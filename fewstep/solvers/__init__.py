"""The named solvers: a registry of tables of steps in the schedule space."""

from fewstep.registry import Registry
from fewstep.solvers.base import Solver
from fewstep.solvers.ddm import DDM
from fewstep.solvers.deis import DEIS
from fewstep.solvers.dpm import DPM
from fewstep.solvers.edm import EDM
from fewstep.solvers.flow import FLOW
from fewstep.solvers.pndm import PNDM
from fewstep.solvers.stochastic import STOCHASTIC
from fewstep.solvers.unipc import UNIPC

__all__ = ["SOLVERS", "Solver", "named", "names"]

SOLVERS: Registry[Solver] = Registry(
    "solver",
    "fewstep.solvers",
    {solver.name: solver for solver in (*DPM, *UNIPC, *DEIS, *PNDM, *EDM, *STOCHASTIC, *DDM, *FLOW)},
)
"""Solvers by name; a package or a script adds its own (`fewstep.registry`)."""


def names() -> list[str]:
    """Names of all solvers.

    >>> names()[:5]
    ['ddim', 'dpm-2m', 'dpm-3m', 'dpmpp-2m', 'dpmpp-3m']
    """
    return list(SOLVERS)


def named(name: str) -> Solver:
    """The solver of that name; raises `UnknownName`, which lists the known ones.

    >>> named("dpmpp-2m").order
    2
    """
    return SOLVERS[name]
