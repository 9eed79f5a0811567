"""One search of one method: the same engine, space, start and noises for every method.

Every method is a run of the search itself with another list of stages: the same baselines to begin with, then guided
trials by its sampler, and no final stages. A search's curve is the score of its incumbent on test noises, which cost it
nothing, against the network calls that it spent: those of its trials, of the teacher where the metric compares with the
teacher's samples, and of the teacher's trajectories where the method replays them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np

from fewstep import models, predictor, solvers
from fewstep.errors import InvalidInput
from fewstep.grids import suitable
from fewstep.search import metrics
from fewstep.search.budget import Share
from fewstep.search.engine import RANKED, run
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import TEST, NoiseSet
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.log import Callbacks, WarmStart
from fewstep.search.space import Space
from fewstep.search.stages import guided
from fewstep.search.state import BATCH, Batch, SearchState
from fewstep.trajectory import Trajectories
from fewstep.values.forecast import Forecasts
from fewstep.values.objective import Objective
from fewstep.values.origin import Origin
from fewstep.values.problem import Problem
from fewstep.values.samplers import SAMPLERS
from fewstep.values.stages import STAGES, Stage
from fewstep.values.trial import Candidate, Rank, Trial

__all__ = [
    "METHODS",
    "METRICS",
    "TEST_SCORE",
    "Cell",
    "Method",
    "contest",
    "evaluator_of",
    "play",
    "starts",
    "teacher_calls",
]

METRICS = ("endpoint", "frechet:digits:teacher")
STARTS = ("ddim", "dpmpp-2m", "dpmpp-3m", "unipc-2-bh2")  # on every grid
TEST_NOISES = 512
TEST_SCORE = "held_out"  # key of scores on test noises in stored curves; "own" is that of scores on search noises
WARM = 120  # evaluations of the search that a warm one starts from


@dataclass(frozen=True)
class Method:
    """A sampler with its evaluations, what ranks for it (from trajectories and a seed), whether it stops trials early,
    and whether it starts from the trials of a search with one call more."""

    sampler: str
    evaluations: int = 400
    rank: Callable[[Trajectories, int], Rank] | None = None
    early_stopping: bool = False
    warm: bool = False


@dataclass(frozen=True)
class Cell:
    """One search: ``noises`` is what a trial is measured on."""

    model: str
    nfe: int
    metric: str
    method: str
    seed: int
    noises: int

    @property
    def name(self) -> str:
        """A file's name."""
        return f"{self.model}-{self.nfe}-{self.metric.split(':')[0]}-{self.method}-{self.seed}"


def _at_random(trajectories: Trajectories, seed: int) -> Rank:
    """A random rank."""

    def rank(trials: Any, candidates: Any) -> Forecasts:
        drawn = np.random.default_rng([seed, len(trials), len(candidates)]).normal(size=len(candidates))
        return Forecasts(drawn, np.zeros(len(candidates)))

    return rank


def _learned(features: str, trajectories: Trajectories, seed: int) -> Rank:
    return predictor.ranker(trajectories, seed, features)


METHODS = {
    "s3": Method("guided", 160, partial(_learned, "all"), early_stopping=True),
    "tpe": Method("tpe"),
    "evolution": Method("evolution"),
    "cmaes": Method("cmaes"),
    "random": Method("random"),
    "gp": Method("gp", 64),  # Optuna's needs a second for a trial there, and seconds later
    "s3-warm": Method("guided", 160, partial(_learned, "all"), early_stopping=True, warm=True),
    "s3-without-predictor": Method("guided", 160, _at_random, early_stopping=True),
    "s3-without-physics": Method("guided", 160, partial(_learned, "tableau"), early_stopping=True),
    "s3-without-racing": Method("guided", 160, partial(_learned, "all")),
}


def starts(space: Space) -> list[Candidate]:
    """Baselines that every search starts with: usual solvers on every grid, as far as the space holds them."""
    schedules = [
        (f"{name} {grid}", solvers.named(name).schedule(space.process, space.nfe, grid).canonical())
        for name in STARTS
        for grid in suitable(space.process)
    ]
    names = {schedule: name for name, schedule in reversed(schedules) if space.holds(schedule)}
    return [Candidate(schedule, Origin("baselines", name)) for schedule, name in reversed(names.items())]


def _start(state: SearchState) -> Iterator[Batch]:
    yield Batch.of(starts(state.space), early_stopping=False)


def _stages(method: Method) -> list[Stage]:
    """The starts, then guided trials: in generations where the sampler makes them, else one by one, which is best."""
    batch = BATCH if SAMPLERS[method.sampler].generations else 1
    return [
        replace(STAGES["baselines"], propose=_start, cost=lambda state, left: Share(0, 0)),
        replace(STAGES["guided"], propose=partial(guided.propose, batch=batch)),
    ]


@cache
def evaluator_of(model: str) -> Evaluator:
    """The evaluator of a model of the zoo, with its caches."""
    return Evaluator(models.zoo.load(model), models.zoo.describe(model).shape)


def teacher_calls(metric: str, method: str, noises: int) -> int:
    """The teacher's network calls: targets where the metric wants them, trajectories where the method replays them.

    >>> teacher_calls("endpoint", "random", 1) == teacher.CALLS
    True
    """
    targets = noises * teacher.CALLS if Objective.parse(metric).coupled else 0
    return targets + (RANKED * (teacher.CALLS + 1) if METHODS[method].rank is not None else 0)


def contest(cell: Cell) -> list[dict[str, Any]]:
    """The curve of one search: evaluations and their calls so far, the incumbent's scores on search and test noises."""
    method, evaluator, curve = METHODS[cell.method], evaluator_of(cell.model), list[dict[str, Any]]()
    trials = play(cell, method.evaluations, play(replace(cell, nfe=cell.nfe + 1), WARM) if method.warm else ())
    test, objective = NoiseSet(cell.seed, TEST, TEST_NOISES), Objective.parse(cell.metric)
    metric, calls, begun = metrics.of(objective), 0, len(starts(Space(evaluator.denoiser.process, cell.nfe)))
    incumbent: Trial | None = None
    for count, trial in enumerate(trials, 1):
        calls += trial.score.calls if trial.score else cell.noises * cell.nfe
        improved = _better(trial, incumbent, cell.noises)
        incumbent = trial if improved else incumbent
        if count < begun or incumbent is None or incumbent.score is None:
            continue
        point = {"evaluations": count, "calls": calls, "own": incumbent.score.value}
        if improved or not curve:
            observations = evaluate.observe(evaluator, test, incumbent.schedule, [objective])[0]
            curve.append(point | {TEST_SCORE: metric.value(observations)})
        elif count == len(trials):
            curve.append(point | {TEST_SCORE: curve[-1][TEST_SCORE]})
    if not curve:
        raise InvalidInput(f"{cell.name}: not one trial could be measured")
    return curve


def play(cell: Cell, evaluations: int, warm: Sequence[Trial] = ()) -> list[Trial]:
    """The trials of one search, by number; ``warm`` are those of a search with another number of calls."""
    method, evaluator, trials = METHODS[cell.method], evaluator_of(cell.model), list[Trial]()
    problem = Problem(cell.model, cell.nfe, cell.metric, evaluations, cell.seed, cell.noises, sampler=method.sampler)
    run(
        problem,
        evaluator.denoiser.process,
        InlinePool(evaluator),
        lambda trajectories: (method.rank or _at_random)(trajectories, cell.seed),
        warm=WarmStart(trials=warm),
        on=Callbacks(trial=trials.append),
        stages=_stages(method),
        early_stopping=method.early_stopping,
    )
    return sorted(trials, key=lambda trial: trial.number)


def _better(trial: Trial, incumbent: Trial | None, noises: int) -> bool:
    """Whether a trial on all noises has a lower score than the incumbent."""
    if trial.score is None or trial.score.noises != noises:
        return False
    return incumbent is None or incumbent.score is None or trial.score.value < incumbent.score.value
