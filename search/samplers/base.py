"""What a sampler is: a `Proposer`, made for one study from its `Setting`, or one of Optuna's own samplers.

class Nearest:
    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def propose(self, number: int, draw: Draw) -> Candidate:
        space, rng = self.setting.space, np.random.default_rng([self.setting.seed, number])
        best = elite(space, self.setting.trials, 1)
        schedule = operators.mutate(space, best[0], rng) if best else operators.uniform(space, rng)
        return candidate(schedule, "nearest")

SAMPLERS.add("nearest", Sampler(Nearest))  # of fewstep.values.samplers; then find(..., sampler="nearest")
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fewstep import Schedule
from fewstep.search.space import Space
from fewstep.values.forecast import Forecast
from fewstep.values.origin import Origin
from fewstep.values.trial import Candidate, Rank, Trial

__all__ = ["Draw", "Exhausted", "Proposer", "Setting", "candidate", "elite"]

Draw = Callable[[int, int], list[Schedule]]
"""``draw(count, seed)``: at most ``count`` schedules that TPE draws from the study so far."""


@dataclass(frozen=True, eq=False)
class Setting:
    """What a sampler works with: the space, the ranker, the study's trials (a list that grows), how many proposals the
    search evaluates at a time, and the seed."""

    space: Space
    rank: Rank
    trials: Sequence[Trial]
    batch: int
    seed: int


class Proposer(Protocol):
    """``propose(number, draw)`` is the proposal for the trial of that number: a schedule of the space, none proposed
    before. Raises `Exhausted`.

    Once a batch has its outcomes, what comes next depends on the setting alone, its trials included: so a search that
    was interrupted goes on as it would have.
    """

    def propose(self, number: int, draw: Draw) -> Candidate: ...


class Exhausted(Exception):
    """Every schedule that the generators make was tried; only tiny spaces, such as that of one call, come to this."""


def candidate(schedule: Schedule, name: str, forecast: Forecast | None = None) -> Candidate:
    """A proposal of a sampler; ``name`` says by which way it came to it."""
    return Candidate(schedule, Origin("guided", name), forecast)


def elite(space: Space, trials: Sequence[Trial], count: int) -> list[Schedule]:
    """The best ``count`` schedules of the trials that the space holds, the best first."""
    scored = [(t.score.value, t.schedule) for t in trials if t.score is not None and space.holds(t.schedule)]
    return [schedule for _, schedule in sorted(scored, key=lambda pair: pair[0])[:count]]
