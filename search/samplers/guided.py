"""The guided search: a generation of many candidates, of which a ranker chooses a batch.

Elite mutations, crossovers, TPE draws and uniform schedules are pooled; the ranker forecasts all of them; the best
forecasts are mutated and forecast once more; then a batch is taken by optimistic forecast, with an occasional random
pick. Everything is a function of the seed and of the study's trials.
"""

from collections import deque

import numpy as np

from fewstep import Schedule
from fewstep.search.samplers import operators
from fewstep.search.samplers.base import Draw, Exhausted, Setting, candidate, elite
from fewstep.values.forecast import Forecast
from fewstep.values.trial import Candidate

__all__ = ["Guided"]

ELITE = 16
MUTATIONS, CROSSOVERS, TPE_DRAWS, UNIFORMS = 128, 64, 8, 32
SECOND_ROUND = 96  # mutations of the best forecasts
CARE = (0.0, 0.5, 1.0, 2.0)  # picks take the lowest mean − care·std, in turn
EXPLORE = 0.05  # chance of a pick at random


class Guided:
    """Proposes by mixing generators and lets the ranker choose a generation, ``setting.batch`` schedules, at once."""

    def __init__(self, setting: Setting) -> None:
        self._setting, self._space = setting, setting.space
        self._queue: deque[tuple[Schedule, str, float, float]] = deque()
        self._pending: set[Schedule] = set()  # proposed, without an outcome yet

    def propose(self, number: int, draw: Draw) -> Candidate:
        """The next chosen schedule; a new generation is made when the last one is used up. Raises `Exhausted`."""
        if not self._queue:
            self._queue.extend(self._generation(draw))
        schedule, name, mean, std = self._queue.popleft()
        self._pending.add(schedule)
        return candidate(schedule, name, Forecast(mean, std))

    def _generation(self, draw: Draw) -> list[tuple[Schedule, str, float, float]]:
        setting = self._setting
        rng = np.random.default_rng([setting.seed, len(setting.trials)])
        evaluated = {trial.schedule for trial in setting.trials}
        self._pending -= evaluated
        tried = evaluated | self._pending
        pool = {s: origin for s, origin in reversed(self._first_round(draw, rng)) if s not in tried}
        if not pool:
            raise Exhausted
        forecast = self._forecast(pool)
        leaders = sorted(forecast, key=lambda s: forecast[s][0])[:ELITE]
        second = operators.mutations(self._space, leaders, np.arange(SECOND_ROUND) % len(leaders), rng)
        fresh = {s: "guided" for s in second if s not in tried and s not in pool}
        pool, forecast = pool | fresh, forecast | self._forecast(fresh)
        generation = []
        for i in range(min(setting.batch, len(forecast))):
            left = list(forecast)
            if rng.random() < EXPLORE:
                pick = left[rng.integers(len(left))]
            else:
                care = CARE[i % len(CARE)]
                pick = min(left, key=lambda s: forecast[s][0] - care * forecast[s][1])
            generation.append((pick, pool[pick], *forecast.pop(pick)))
        return generation

    def _first_round(self, draw: Draw, rng: np.random.Generator) -> list[tuple[Schedule, str]]:
        space, best = self._space, elite(self._space, self._setting.trials, ELITE)
        pool = [(schedule, "uniform") for schedule in operators.uniforms(space, UNIFORMS, rng)]
        if not best:
            return pool

        def parents(*shape: int) -> np.ndarray:  # better ranks are drawn more often
            picks: np.ndarray = rng.integers(len(best), size=(2, *shape)).min(axis=0)
            return picks

        pool += [(schedule, "mutation") for schedule in operators.mutations(space, best, parents(MUTATIONS), rng)]
        pool += [(s, "crossover") for s in operators.crossovers(space, best, parents(CROSSOVERS, 2), rng)]
        return pool + [(schedule, "tpe") for schedule in draw(TPE_DRAWS, int(rng.integers(2**31)))]

    def _forecast(self, pool: dict[Schedule, str]) -> dict[Schedule, tuple[float, float]]:
        if not pool:
            return {}
        schedules = list(pool)
        mean, std = self._setting.rank(self._setting.trials, schedules)
        return {s: (float(m), float(d)) for s, m, d in zip(schedules, mean, std, strict=True)}
