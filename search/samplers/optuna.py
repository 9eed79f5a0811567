"""The search space as Optuna sees it, and the samplers of a study: our proposers and Optuna's own, all in one space.

| name | what proposes | moves |
|---|---|---|
| ``guided`` | `fewstep.search.samplers.guided`: many generators, a ranker chooses | everything |
| ``evolution`` | `fewstep.search.samplers.evolution`: the released USF search's operators | everything |
| ``tpe``, ``gp``, ``nsga2``, ``random`` | Optuna's sampler of that name | everything |
| ``cmaes`` | Optuna's CMA-ES, centred on the best trial told before the first ask | times only |

Whatever an Optuna sampler draws is brought to canonical form before it is stored, so that choices nothing uses never
differ between equal schedules, and no schedule is proposed twice.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, TrialState

from fewstep import Schedule
from fewstep.search.samplers import operators as proposals
from fewstep.search.samplers.guided import Draw, Exhausted, Proposal, elite
from fewstep.search.shifts import NONE, RANGES
from fewstep.search.space import FACTORS, GAP_RANGE, GENES, Space
from fewstep.values.trial import Trial

__all__ = ["OPTUNA", "OptunaSampler", "Propose", "ProposingSampler", "distributions"]

POPULATION = 20  # of NSGA-II; the default of 50 would spend most of a budget on its random start
REACH = 1.5  # of CMA-ES round the best trial's log λ-gaps: a standard deviation of a third of it to begin with
ATTEMPTS = 8  # at a schedule that was not tried before; then a uniform one
UNIFORMS = 64  # attempts at that

OPTUNA: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed),
    "gp": lambda seed: GPSampler(seed=seed),
    "cmaes": lambda seed: CmaEsSampler(seed=seed, warn_independent_sampling=False),
    "nsga2": lambda seed: NSGAIISampler(seed=seed, population_size=POPULATION),
    "random": lambda seed: RandomSampler(seed=seed),
}


class Propose(Protocol):
    """What makes proposals: ``propose(number, draw)`` is the one for a trial's number, or raises `Exhausted`."""

    def __call__(self, number: int, draw: Draw) -> Proposal: ...


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Every parameter of the space with its range; `Space.encode` and `Space.decode` lead there and back."""
    found: dict[str, BaseDistribution] = {}
    for i in range(space.nfe):
        found[f"gap_{i}"] = FloatDistribution(-GAP_RANGE, GAP_RANGE)
        found |= {f"{gene}_{i}": CategoricalDistribution(values) for gene, values in GENES.items()}
        found |= {f"{gene}_{i}": FloatDistribution(*bounds) for gene, bounds in FACTORS.items()}
    if space.shifts.targets:
        found["shift"] = CategoricalDistribution((NONE, *space.shifts.targets))
        found |= {gene: FloatDistribution(*bounds) for gene, bounds in RANGES.items()}
    return found


class ProposingSampler(BaseSampler):
    """A sampler that asks ``propose``; ``drawn`` keeps each proposal by the number of its trial."""

    def __init__(self, space: Space, propose: Propose) -> None:
        self._space, self._propose, self.distributions = space, propose, distributions(space)
        self.drawn: dict[int, Proposal] = {}

    def infer_relative_search_space(self, study: OptunaStudy, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All parameters are drawn together, from the first trial on."""
        return self.distributions

    def sample_relative(
        self, study: OptunaStudy, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of the next proposal."""
        proposal = self._propose(trial.number, partial(self._draw, study, trial))
        self.drawn[trial.number] = proposal
        return self._space.encode(proposal.schedule)

    def sample_independent(
        self, study: OptunaStudy, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never needed: every parameter of the space is drawn by `sample_relative`."""
        raise NotImplementedError(f"{param_name!r} is not a parameter of the search space")

    def _draw(self, study: OptunaStudy, trial: FrozenTrial, count: int, seed: int) -> list[Schedule]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            tpe = TPESampler(seed=seed, multivariate=True, n_startup_trials=1)
        drawn = [tpe.sample_relative(study, trial, self.distributions) for _ in range(count)]
        return [self._space.decode(params) for params in drawn if params]


class OptunaSampler(BaseSampler):
    """One of `OPTUNA` in our space; ``trials`` is the list that the study keeps."""

    def __init__(self, space: Space, name: str, trials: Sequence[Trial], seed: int) -> None:
        self._space, self._name, self._trials, self._seed = space, name, trials, seed
        self._inner = OPTUNA[name](seed)
        self._centre: dict[str, Any] | None = None if name == "cmaes" else {}  # what stays; None until it is known
        self.drawn: dict[int, Proposal] = {}
        self.distributions = distributions(space)

    def infer_relative_search_space(self, study: OptunaStudy, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All parameters are drawn together, from the first trial on."""
        return self.distributions

    def sample_relative(
        self, study: OptunaStudy, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The canonical parameters of what Optuna draws, or of a uniform proposal where that was tried before."""
        space, origin = self._space, self._name
        tried = {t.schedule for t in self._trials} | {p.schedule for p in self.drawn.values()}
        for _ in range(ATTEMPTS):
            schedule = space.decode(self._params(study, trial))
            if schedule not in tried:
                break
        else:
            origin, rng = "uniform", np.random.default_rng([self._seed, trial.number])
            made = (proposals.uniform(space, rng) for _ in range(UNIFORMS))
            schedule = next((s for s in made if s not in tried), schedule)
            if schedule in tried:
                raise Exhausted
        self.drawn[trial.number] = Proposal(trial.number, schedule, origin)
        return space.encode(schedule)

    def sample_independent(
        self, study: OptunaStudy, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """What the Optuna sampler makes of a parameter by itself."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: OptunaStudy, trial: FrozenTrial) -> None:
        """Passed on."""
        self._inner.before_trial(study, trial)

    def after_trial(
        self, study: OptunaStudy, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Passed on."""
        self._inner.after_trial(study, trial, state, values)

    def _params(self, study: OptunaStudy, trial: FrozenTrial) -> dict[str, Any]:
        """All parameters: those that the sampler draws together, the fixed ones, the others one by one."""
        if self._centre is None:
            best = elite(self._space, self._trials, 1)
            even = proposals.uniform(self._space, np.random.default_rng(self._seed))
            self._centre = self._space.encode(best[0] if best else even)
        ranges = {k: v for k, v in self.distributions.items() if k not in self._centre} or {
            f"gap_{i}": FloatDistribution(centre - REACH, centre + REACH)
            for i, centre in enumerate(self._centre[f"gap_{i}"] for i in range(self._space.nfe))
        }
        drawn = self._centre | self._inner.sample_relative(study, trial, ranges)
        for name in ranges.keys() - drawn.keys():
            drawn[name] = self._inner.sample_independent(study, trial, name, ranges[name])
        return drawn
