"""The Optuna study of a search, in memory, and the sampler that lets a ranker choose among many proposals.

A generation: elite mutations, crossovers, TPE draws and uniform proposals are pooled; the ranker forecasts all of them;
the best forecasts are mutated and forecast once more; then a batch is taken by optimistic forecast, with an occasional
random pick. Everything is a function of the seed and of the trials told so far, so a study can be rebuilt at any time.
"""

import contextlib
import warnings
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, TrialState, create_trial

from fewstep import Schedule
from fewstep.problem import Rank, Trial
from search import proposals
from search.space import FACTORS, GAP_RANGE, GENES, Space

__all__ = ["GuidedSampler", "Proposal", "Study"]

optuna.logging.set_verbosity(optuna.logging.WARNING)

ELITE = 16
MUTATIONS, CROSSOVERS, TPE_DRAWS, UNIFORMS = 128, 64, 8, 32
SECOND_ROUND = 96  # mutations of the best forecasts
CARE = (0.0, 0.5, 1.0, 2.0)  # picks take the lowest mean − care·std, in turn
EXPLORE = 0.05  # chance of a pick at random


class Proposal(NamedTuple):
    """A schedule to evaluate, where it came from, and what the ranker forecast for log(score)."""

    number: int
    schedule: Schedule
    origin: str
    predicted: float | None = None
    predicted_std: float | None = None


class Exhausted(Exception):
    """Every schedule that the generators make was tried; only tiny spaces, such as that of one call, come to this."""


class GuidedSampler(BaseSampler):
    """Proposes by mixing generators and lets ``rank`` choose; ``trials`` is the list that the study keeps."""

    def __init__(self, space: Space, rank: Rank, trials: list[Trial], batch: int, seed: int) -> None:
        self._space, self._rank, self._trials, self._batch, self._seed = space, rank, trials, batch, seed
        self._queue: deque[tuple[Schedule, str, float, float]] = deque()
        self.drawn: dict[int, Proposal] = {}
        self.distributions: dict[str, BaseDistribution] = {}
        for i in range(space.nfe):
            self.distributions[f"gap_{i}"] = FloatDistribution(-GAP_RANGE, GAP_RANGE)
            self.distributions |= {f"{gene}_{i}": CategoricalDistribution(values) for gene, values in GENES.items()}
            self.distributions |= {f"{gene}_{i}": FloatDistribution(*bounds) for gene, bounds in FACTORS.items()}

    def infer_relative_search_space(self, study: OptunaStudy, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All parameters are drawn together, from the first trial on."""
        return self.distributions

    def sample_relative(
        self, study: OptunaStudy, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The next chosen proposal; a new generation is made when the last one is used up."""
        if not self._queue:
            self._queue.extend(self._generation(study, trial))
        schedule, origin, mean, std = self._queue.popleft()
        self.drawn[trial.number] = Proposal(trial.number, schedule, origin, mean, std)
        return self._space.encode(schedule)

    def sample_independent(
        self, study: OptunaStudy, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never needed: every parameter of the space is drawn by `sample_relative`."""
        raise NotImplementedError(f"{param_name!r} is not a parameter of the search space")

    def _generation(self, study: OptunaStudy, trial: FrozenTrial) -> list[tuple[Schedule, str, float, float]]:
        rng = np.random.default_rng([self._seed, len(self._trials)])
        tried = {t.schedule for t in self._trials}
        pool = {s: origin for s, origin in reversed(self._first_round(study, trial, rng)) if s not in tried}
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

    def _first_round(
        self, study: OptunaStudy, trial: FrozenTrial, rng: np.random.Generator
    ) -> list[tuple[Schedule, str]]:
        space = self._space
        scored = [(t.score.value, t.schedule) for t in self._trials if t.score is not None and space.holds(t.schedule)]
        elite = [schedule for _, schedule in sorted(scored, key=lambda pair: pair[0])[:ELITE]]
        made = [(proposals.uniform(space, rng), "uniform") for _ in range(UNIFORMS)]
        if not elite:
            return made

        def parent() -> Schedule:  # better ranks are drawn more often
            return elite[min(rng.integers(len(elite)), rng.integers(len(elite)))]

        made += [(proposals.mutate(space, parent(), rng), "mutation") for _ in range(MUTATIONS)]
        made += [(proposals.cross(space, parent(), parent(), rng), "crossover") for _ in range(CROSSOVERS)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            tpe = TPESampler(seed=int(rng.integers(2**31)), multivariate=True, n_startup_trials=1)
        for _ in range(TPE_DRAWS):
            params = tpe.sample_relative(study, trial, self.distributions)
            if params:
                made.append((space.decode(params), "tpe"))
        return made

    def _forecast(self, pool: dict[Schedule, str]) -> dict[Schedule, tuple[float, float]]:
        if not pool:
            return {}
        schedules = list(pool)
        mean, std = self._rank(self._trials, schedules)
        return {s: (float(m), float(d)) for s, m, d in zip(schedules, mean, std, strict=True)}


class Study:
    """Ask and tell for one problem. Trials are numbered from 0; those added by hand come first."""

    def __init__(self, space: Space, rank: Rank, batch: int, seed: int) -> None:
        self.trials: list[Trial] = []
        self._space = space
        self._sampler = GuidedSampler(space, rank, self.trials, batch, seed)
        self._study = optuna.create_study(sampler=self._sampler)

    def add(self, trial: Trial) -> None:
        """Take a trial that was not asked for; one outside the space only counts, for there is nothing to vary."""
        value, held = None if trial.score is None else trial.score.value, self._space.holds(trial.schedule)
        self._study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if held and value is not None else TrialState.FAIL,
                params=self._space.encode(trial.schedule) if held else {},
                distributions=self._sampler.distributions if held else {},
                value=value if held else None,
            )
        )
        self.trials.append(trial)

    def ask(self, count: int) -> list[Proposal]:
        """The next ``count`` proposals, numbered on from the trials so far; fewer where the space is used up."""
        numbers = []
        with contextlib.suppress(Exhausted):
            for _ in range(count):
                numbers.append(self._study.ask(self._sampler.distributions).number)
        return [self._sampler.drawn.pop(number) for number in numbers]

    def tell(self, trials: Sequence[Trial]) -> None:
        """The outcomes of everything that the last `ask` proposed, in the order of their numbers."""
        for trial in trials:
            if trial.score is None:
                self._study.tell(trial.number, state=TrialState.FAIL)
            else:
                self._study.tell(trial.number, trial.score.value)
            self.trials.append(trial)
