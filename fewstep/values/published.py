"""A published result of a search."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fewstep.schedule import Schedule
from fewstep.values.fields import About, Inline
from fewstep.values.result import Result

__all__ = ["Published"]


@dataclass(frozen=True)
class Published:
    """A published result, with the ids of its ``model`` and its ``search``; ``digest`` is its schedule's."""

    digest: Annotated[str, About("Of the schedule")]
    model: Annotated[str, About("The model's id")]
    search: Annotated[str, About("The search's id")]
    created: datetime
    result: Annotated[Result, Inline()]

    @property
    def schedule(self) -> Schedule:
        """The winner's schedule."""
        return self.result.schedule

    @property
    def nfe(self) -> int:
        """Network calls of the schedule, at most those that the problem allows."""
        return self.schedule.nfe
