"""The rankers of a search by name; an installed package may add its own.

A built-in ranker is named by its place and imported by the search that uses it, so the search itself imports none.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from fewstep.registry import Registry
from fewstep.trajectory import Trajectories
from fewstep.values.problem import Problem
from fewstep.values.trial import Rank, Trial

__all__ = ["RANKERS", "RankFactory", "Transfers"]

RankFactory = Callable[[Trajectories], Rank]
"""Makes the ranker of one search from the teacher's trajectories."""


@runtime_checkable
class Transfers(Protocol):
    """What a ranker has besides where it transfers between models: it learns from other searches' records, and leaves
    one.

    ``learn(records)``, before the first forecast, leaves out records that it cannot read. ``record(problem, trials)``
    is what a search leaves for later ones, as text; None where its trials say nothing that would help another model.
    """

    def learn(self, records: Sequence[str]) -> None: ...

    def record(self, problem: Problem, trials: Sequence[Trial]) -> str | None: ...


RANKERS: Registry[RankFactory] = Registry(
    "ranker",
    "fewstep.rankers",
    {"replay": "fewstep.search.samplers.ranking:by_replay", "learned": "fewstep.predictor.ranking:ranker"},
)
