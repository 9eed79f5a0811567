"""What a search would cost and is expected to find, before it is submitted."""

from dataclasses import dataclass
from typing import Annotated

from fewstep.values.cost_card import CostCard
from fewstep.values.fields import About, Inline
from fewstep.values.problem import Problem

__all__ = ["Estimate"]


@dataclass(frozen=True)
class Estimate:
    """A completed problem with its cost card, and the ratio that earlier results let expect."""

    problem: Annotated[Problem, Inline()]
    cost: Annotated[CostCard, Inline()]
    expected_ratio: Annotated[
        float | None,
        About("Median ratio of earlier results of this metric, effort and NFE: of the model, if any, else of others"),
    ] = None
