"""The guided search: a generation of many proposals, of which a ranker chooses a batch.

Elite mutations, crossovers, TPE draws and uniform proposals are pooled; the ranker forecasts all of them; the best
forecasts are mutated and forecast once more; then a batch is taken by optimistic forecast, with an occasional random
pick. Everything is a function of the seed and of the trials told so far.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fewstep import Schedule
from fewstep.search.samplers import operators as proposals
from fewstep.search.space import Space
from fewstep.values.trial import Rank, Trial

__all__ = ["Draw", "Exhausted", "Guided", "Proposal", "elite"]

ELITE = 16
MUTATIONS, CROSSOVERS, TPE_DRAWS, UNIFORMS = 128, 64, 8, 32
SECOND_ROUND = 96  # mutations of the best forecasts
CARE = (0.0, 0.5, 1.0, 2.0)  # picks take the lowest mean − care·std, in turn
EXPLORE = 0.05  # chance of a pick at random

Draw = Callable[[int, int], list[Schedule]]
"""``draw(count, seed)``: at most ``count`` schedules that TPE draws from the study so far."""


class Proposal(NamedTuple):
    """A schedule to evaluate, where it came from, and what the ranker forecast for log(score)."""

    number: int
    schedule: Schedule
    origin: str
    predicted: float | None = None
    predicted_std: float | None = None


class Exhausted(Exception):
    """Every schedule that the generators make was tried; only tiny spaces, such as that of one call, come to this."""


def elite(space: Space, trials: Sequence[Trial], count: int) -> list[Schedule]:
    """The best ``count`` schedules of the trials that the space holds, the best first."""
    scored = [(t.score.value, t.schedule) for t in trials if t.score is not None and space.holds(t.schedule)]
    return [schedule for _, schedule in sorted(scored, key=lambda pair: pair[0])[:count]]


class Guided:
    """Proposes by mixing generators and lets ``rank`` choose; ``trials`` is the list that the study keeps."""

    def __init__(self, space: Space, rank: Rank, trials: list[Trial], batch: int, seed: int) -> None:
        self._space, self._rank, self._trials, self._batch, self._seed = space, rank, trials, batch, seed
        self._queue: deque[tuple[Schedule, str, float, float]] = deque()
        self._pending: set[Schedule] = set()  # proposed and not told yet

    def __call__(self, number: int, draw: Draw) -> Proposal:
        """The next chosen proposal; a new generation is made when the last one is used up. Raises `Exhausted`."""
        if not self._queue:
            self._queue.extend(self._generation(draw))
        chosen = self._queue.popleft()
        self._pending.add(chosen[0])
        return Proposal(number, *chosen)

    def _generation(self, draw: Draw) -> list[tuple[Schedule, str, float, float]]:
        rng = np.random.default_rng([self._seed, len(self._trials)])
        told = {t.schedule for t in self._trials}
        self._pending -= told
        tried = told | self._pending
        pool = {s: origin for s, origin in reversed(self._first_round(draw, rng)) if s not in tried}
        if not pool:
            raise Exhausted
        forecast = self._forecast(pool)
        leaders = sorted(forecast, key=lambda s: forecast[s][0])[:ELITE]
        second = [proposals.mutate(self._space, leaders[i % len(leaders)], rng) for i in range(SECOND_ROUND)]
        fresh = {s: "guided" for s in second if s not in tried and s not in pool}
        pool, forecast = pool | fresh, forecast | self._forecast(fresh)
        chosen = []
        for i in range(min(self._batch, len(forecast))):
            left = list(forecast)
            if rng.random() < EXPLORE:
                pick = left[rng.integers(len(left))]
            else:
                care = CARE[i % len(CARE)]
                pick = min(left, key=lambda s: forecast[s][0] - care * forecast[s][1])
            chosen.append((pick, pool[pick], *forecast.pop(pick)))
        return chosen

    def _first_round(self, draw: Draw, rng: np.random.Generator) -> list[tuple[Schedule, str]]:
        space, best = self._space, elite(self._space, self._trials, ELITE)
        made = [(proposals.uniform(space, rng), "uniform") for _ in range(UNIFORMS)]
        if not best:
            return made

        def parent() -> Schedule:  # better ranks are drawn more often
            return best[min(rng.integers(len(best)), rng.integers(len(best)))]

        made += [(proposals.mutate(space, parent(), rng), "mutation") for _ in range(MUTATIONS)]
        made += [(proposals.cross(space, parent(), parent(), rng), "crossover") for _ in range(CROSSOVERS)]
        return made + [(schedule, "tpe") for schedule in draw(TPE_DRAWS, int(rng.integers(2**31)))]

    def _forecast(self, pool: dict[Schedule, str]) -> dict[Schedule, tuple[float, float]]:
        if not pool:
            return {}
        schedules = list(pool)
        mean, std = self._rank(self._trials, schedules)
        return {s: (float(m), float(d)) for s, m, d in zip(schedules, mean, std, strict=True)}
