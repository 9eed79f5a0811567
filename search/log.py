"""What goes into a search from earlier ones, and what it reports on its way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from fewstep import Schedule
from fewstep.grids.arc_length import ArcLength
from fewstep.values.stages import Stage
from fewstep.values.trial import Trial

__all__ = ["Callbacks", "TrialLog", "WarmStart"]


@dataclass(frozen=True)
class TrialLog:
    """Trials of an interrupted run of the same problem, which took ``elapsed`` seconds; replaying it is resuming."""

    trials: Sequence[Trial] = ()
    elapsed: float = 0.0

    @cached_property
    def _by_number(self) -> dict[int, Trial]:
        return {trial.number: trial for trial in self.trials}

    def get(self, number: int) -> Trial | None:
        """The trial of that number, if it was recorded."""
        return self._by_number.get(number)

    def batch(self, first: int, count: int, stage: Stage) -> list[Trial]:
        """The trials of a stage's whole batch, by number; nothing where one of them is missing."""
        trials = [self.get(number) for number in range(first, first + count)]
        whole = [trial for trial in trials if trial is not None and trial.origin.stage == stage.name]
        return whole if len(whole) == count else []


@dataclass(frozen=True)
class WarmStart:
    """What earlier searches of the model found.

    ``schedules`` of one call less, the best known: the result is no worse than they are. ``trials`` with other numbers
    of calls, from which the ranker learns. ``own`` are schedules that are used today, by name: the first baselines.
    """

    schedules: Sequence[Schedule] = ()
    trials: Sequence[Trial] = ()
    own: Mapping[str, Schedule] = field(default_factory=dict)


@dataclass(frozen=True)
class Callbacks:
    """What a search reports: every new ``trial``, ``progress`` as (phase, done, total), the model's ``curve``.

    An exception that one of them raises ends the search.
    """

    trial: Callable[[Trial], None] = lambda trial: None
    progress: Callable[[str, int, int], None] = lambda phase, done, total: None
    curve: Callable[[ArcLength], None] = lambda arc: None
