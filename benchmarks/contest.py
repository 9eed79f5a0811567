"""One search of one method, as the others see it: the same space, start, noises and judge for every method.

Every method starts from the same hand-made solvers, and lowers the same metric on the same noises. A search's curve is
the score of its best trial so far on held-out noises, which cost it nothing, against the network sample-calls that it
spent: those of its trials, of the teacher where the metric wants the teacher's ends, and of the teacher's trajectories
where the method replays them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np

from fewstep import models, predictor, solvers
from fewstep.errors import InvalidInput
from fewstep.grids import suitable
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import HELD_OUT, SEARCH, NoiseSet, joined
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.evaluation.racing import Race, best_of
from fewstep.search.metrics import spaces
from fewstep.search.metrics.base import value
from fewstep.search.samplers.study import Proposal, Study
from fewstep.search.space import Space
from fewstep.search.stages.teacher import Sets
from fewstep.trajectory import Trajectories
from fewstep.values.objective import Measure
from fewstep.values.problem import Prediction, Problem, Rank, Trial
from fewstep.values.samplers import SAMPLERS

__all__ = ["METHODS", "METRICS", "Cell", "Method", "contest", "evaluator_of", "hand_made", "play", "taught"]

METRICS = ("endpoint", "frechet:digits:teacher")
STARTS = ("ddim", "dpmpp-2m", "dpmpp-3m", "unipc-2-bh2")  # on every grid
BATCH = 8  # of the guided search; the others are asked and told one by one, which is best for them
FOLLOWED = 24
HELD = 512
WARM = 120  # evaluations of the search that a warm one knows


@dataclass(frozen=True)
class Method:
    """A sampler with its evaluations, what ranks for it (from trajectories and a seed), whether its trials race, and
    whether it knows the trials of a search with one call more."""

    sampler: str
    evaluations: int = 400
    rank: Callable[[Trajectories, int], Rank] | None = None
    racing: bool = False
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
    """A rank that knows nothing."""

    def rank(trials: Any, candidates: Any) -> Prediction:
        drawn = np.random.default_rng([seed, len(trials), len(candidates)]).normal(size=len(candidates))
        return Prediction(drawn, np.zeros(len(candidates)))

    return rank


def _learned(knowledge: str, trajectories: Trajectories, seed: int) -> Rank:
    return predictor.ranker(trajectories, seed, knowledge)


METHODS = {
    "s3": Method("guided", 160, partial(_learned, "all"), racing=True),
    "tpe": Method("tpe"),
    "evolution": Method("evolution"),
    "cmaes": Method("cmaes"),
    "random": Method("random"),
    "gp": Method("gp", 64),  # Optuna's needs a second for a trial there, and seconds later
    "s3-warm": Method("guided", 160, partial(_learned, "all"), racing=True, warm=True),
    "s3-without-predictor": Method("guided", 160, _at_random, racing=True),
    "s3-without-physics": Method("guided", 160, partial(_learned, "tableau"), racing=True),
    "s3-without-racing": Method("guided", 160, partial(_learned, "all")),
}


def hand_made(space: Space) -> list[Proposal]:
    """What every search starts with: usual solvers on every grid, as far as the space holds them."""
    made = [
        (f"{name} {grid}", solvers.named(name).schedule(space.process, space.nfe, grid).canonical())
        for name in STARTS
        for grid in suitable(space.process)
    ]
    named = {schedule: name for name, schedule in reversed(made) if space.holds(schedule)}
    return [Proposal(i, schedule, f"baseline {name}") for i, (schedule, name) in enumerate(reversed(named.items()))]


@cache
def evaluator_of(model: str) -> Evaluator:
    """The evaluator of a model of the zoo, with what it remembers."""
    return Evaluator(models.zoo.load(model), models.zoo.describe(model).shape)


@cache
def _followed(model: str, seed: int) -> Trajectories:
    return evaluate.follow(evaluator_of(model), NoiseSet(seed, SEARCH, FOLLOWED))


def taught(metric: str, method: str, noises: int) -> int:
    """Sample-calls of the teacher: ends of the noises where the metric wants them, trajectories where it replays them.

    >>> taught("endpoint", "random", 1) == teacher.CALLS
    True
    """
    ends = noises * teacher.CALLS if Measure.parse(metric).taught else 0
    return ends + (FOLLOWED * (teacher.CALLS + 1) if METHODS[method].rank is not None else 0)


def contest(cell: Cell) -> list[dict[str, Any]]:
    """The curve of one search: evaluations and their calls so far, and the best trial's own and held-out scores."""
    method, evaluator, curve = METHODS[cell.method], evaluator_of(cell.model), list[dict[str, Any]]()
    held, measure = NoiseSet(cell.seed, HELD_OUT, HELD), Measure.parse(cell.metric)
    metric = spaces.judging(measure)

    def mark(best: Trial | None, evaluations: int, calls: int) -> None:
        if best is None or best.score is None:
            return
        point = {"evaluations": evaluations, "calls": calls, "own": best.score.value}
        if not curve or best.score.value < curve[-1]["own"]:
            rows = evaluate.observe(evaluator, held, best.schedule, [measure])[0]
            curve.append(point | {"held_out": value(metric, rows)})
        elif evaluations == method.evaluations:
            curve.append(point | {"held_out": curve[-1]["held_out"]})

    others = []
    if method.warm:
        others = play(replace(cell, nfe=cell.nfe + 1), WARM, [], lambda best, evaluations, calls: None)
    play(cell, method.evaluations, others, mark)
    if not curve:
        raise InvalidInput(f"{cell.name}: not one trial could be measured")
    return curve


def play(
    cell: Cell, evaluations: int, others: Sequence[Trial], mark: Callable[[Trial | None, int, int], None]
) -> list[Trial]:
    """The trials of one search, which knows the trials ``others`` of other numbers of calls.

    ``mark`` is told the best trial, the evaluations and their calls after every generation.
    """
    method, evaluator, followed = METHODS[cell.method], evaluator_of(cell.model), _followed(cell.model, cell.seed)
    problem = Problem(cell.model, cell.nfe, cell.metric, evaluations, cell.seed, cell.noises, sampler=method.sampler)
    space, pieces = Space(evaluator.denoiser.process, cell.nfe), Sets.of(problem).search
    pieces = pieces if method.racing else (joined(pieces),)
    rank = (method.rank or _at_random)(followed, cell.seed)
    study = Study(space, lambda known, new: rank([*others, *known], new), BATCH, cell.seed, method.sampler)
    metric = spaces.judging(problem.measure)
    race = Race(InlinePool(evaluator), problem, pieces, metric, lambda trial: None, (), lambda *_: None)
    for trial in race(hand_made(space), "start"):
        study.add(trial)
    batch, best = BATCH if SAMPLERS[method.sampler].generations else 1, best_of(study.trials, problem.noises)
    mark(best, len(study.trials), race.calls)
    while len(study.trials) < evaluations:
        asked = study.ask(min(batch, evaluations - len(study.trials)))
        if not asked:
            break
        study.tell(race(asked, "search", best if method.racing else None))
        best = best_of(study.trials, problem.noises)
        mark(best, len(study.trials), race.calls)
    return study.trials
