"""The search space as Optuna sees it, and the samplers of a study: our proposers and Optuna's own, all in one space.

| name | what proposes | moves |
|---|---|---|
| ``guided`` | `fewstep.search.samplers.guided`: many generators, a ranker chooses | everything |
| ``evolution`` | `fewstep.search.samplers.evolution`: the released USF search's operators | everything |
| ``tpe``, ``gp``, ``nsga2``, ``random`` | Optuna's sampler of that name | everything |
| ``cmaes`` | Optuna's CMA-ES, centred on the best trial before its first proposal | times only |

Whatever an Optuna sampler draws is brought to canonical form before it is stored, so that choices nothing uses never
differ between equal schedules, and no schedule is proposed twice.
"""

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, TrialState

from fewstep import Schedule
from fewstep.search.genes import GAP, Choice, Gene
from fewstep.search.samplers import operators
from fewstep.search.samplers.base import Exhausted, Proposer, Setting, candidate, elite
from fewstep.search.space import Space
from fewstep.values.trial import Candidate

__all__ = ["OptunaSampler", "ProposingSampler", "cmaes", "distributions", "gp", "nsga2", "random", "tpe"]

POPULATION = 20  # of NSGA-II; the default of 50 would spend most of a budget on its random start
RADIUS = 1.5  # of CMA-ES round the best trial's log λ-gaps: a standard deviation of a third of it to begin with
ATTEMPTS = 8  # at a schedule that was not tried before; then a uniform one
UNIFORMS = 64  # attempts at that


def tpe(setting: Setting) -> BaseSampler:
    """Tree-structured Parzen estimators."""
    return TPESampler(seed=setting.seed)


def gp(setting: Setting) -> BaseSampler:
    """A Gaussian process with expected improvement."""
    return GPSampler(seed=setting.seed)


def cmaes(setting: Setting) -> BaseSampler:
    """Evolution with an adapted covariance, for continuous parameters."""
    return CmaEsSampler(seed=setting.seed, warn_independent_sampling=False)


def nsga2(setting: Setting) -> BaseSampler:
    """A genetic algorithm."""
    return NSGAIISampler(seed=setting.seed, population_size=POPULATION)


def random(setting: Setting) -> BaseSampler:
    """Uniform draws."""
    return RandomSampler(seed=setting.seed)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Every parameter of the space with its range; `Space.encode` and `Space.decode` lead there and back."""
    return {name: _distribution(gene) for name, gene in space.genes.items()}


def _distribution(gene: Gene) -> BaseDistribution:
    if isinstance(gene, Choice):
        return CategoricalDistribution(gene.values)
    return FloatDistribution(gene.low, gene.high)


class ProposingSampler(BaseSampler):
    """A proposer as an Optuna sampler; ``proposals`` keeps each proposal by the number of its trial."""

    def __init__(self, setting: Setting, proposer: Proposer) -> None:
        self._space, self._proposer = setting.space, proposer
        self.distributions = distributions(setting.space)
        self.proposals: dict[int, Candidate] = {}

    def infer_relative_search_space(self, study: OptunaStudy, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All parameters are drawn together, from the first trial on."""
        return self.distributions

    def sample_relative(
        self, study: OptunaStudy, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of the next proposal."""
        proposal = self._proposer.propose(trial.number, partial(self._draw, study, trial))
        self.proposals[trial.number] = proposal
        return self._space.encode(proposal.schedule)

    def sample_independent(
        self, study: OptunaStudy, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never needed: every parameter of the space is drawn by `sample_relative`."""
        raise NotImplementedError(f"{param_name!r} is not a parameter of the search space")

    def _draw(self, study: OptunaStudy, trial: FrozenTrial, count: int, seed: int) -> list[Schedule]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = TPESampler(seed=seed, multivariate=True, n_startup_trials=1)
        points = [sampler.sample_relative(study, trial, self.distributions) for _ in range(count)]
        return [self._space.decode(params) for params in points if params]


class OptunaSampler(BaseSampler):
    """A sampler of Optuna's, by its ``name``, in our space; with ``times_only`` it moves the times of the best trial
    before its first proposal. ``proposals`` keeps each proposal by the number of its trial."""

    def __init__(self, setting: Setting, inner: BaseSampler, name: str, times_only: bool) -> None:
        self._setting, self._inner, self._name, self._times_only = setting, inner, name, times_only
        self._centre: dict[str, Any] | None = None
        self.distributions = distributions(setting.space)
        self.proposals: dict[int, Candidate] = {}

    def infer_relative_search_space(self, study: OptunaStudy, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All parameters are drawn together, from the first trial on."""
        return self.distributions

    def sample_relative(
        self, study: OptunaStudy, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The canonical parameters of what Optuna draws, or of a uniform proposal where that was tried before."""
        space, name = self._setting.space, self._name
        tried = {t.schedule for t in self._setting.trials} | {p.schedule for p in self.proposals.values()}
        for _ in range(ATTEMPTS):
            schedule = space.decode(self._params(study, trial))
            if schedule not in tried:
                break
        else:
            name, rng = "uniform", np.random.default_rng([self._setting.seed, trial.number])
            uniforms = (operators.uniform(space, rng) for _ in range(UNIFORMS))
            schedule = next((s for s in uniforms if s not in tried), schedule)
            if schedule in tried:
                raise Exhausted
        self.proposals[trial.number] = candidate(schedule, name)
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
        """All parameters: the fixed ones, those that the sampler draws together, the others one by one, in turn."""
        fixed, ranges = self._ranges()
        params = fixed | self._inner.sample_relative(study, trial, ranges)
        for name in ranges:  # never a set: its order, and so that of the draws, would change from process to process
            if name not in params:
                params[name] = self._inner.sample_independent(study, trial, name, ranges[name])
        return params

    def _ranges(self) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        """What stays as it is, and the ranges of what is drawn."""
        if not self._times_only:
            return {}, self.distributions
        setting = self._setting
        if self._centre is None:
            best = elite(setting.space, setting.trials, 1)
            uniform = operators.uniform(setting.space, np.random.default_rng(setting.seed))
            self._centre = setting.space.encode(best[0] if best else uniform)
        names = [f"{GAP.name}_{i}" for i in range(setting.space.nfe)]
        return self._centre, {
            name: FloatDistribution(self._centre[name] - RADIUS, self._centre[name] + RADIUS) for name in names
        }
