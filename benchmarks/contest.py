"""One search of one method, as the others see it: the same space, start, noises and judge for every method.

Every method starts from the same hand-made solvers, and lowers the same metric on the same noises. A search's curve is
the score of its best trial so far on held-out noises, which cost it nothing, against the network sample-calls that it
spent: those of its trials, of the teacher where the metric wants the teacher's ends, and of the teacher's trajectories
where the method replays them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

import predictor
from fewstep import models, solvers
from fewstep.errors import InvalidInput
from fewstep.grids import suitable
from fewstep.measure import Measure
from fewstep.problem import Prediction, Problem, Rank
from fewstep.trajectory import Trajectories
from search import evaluate, teacher
from search.evaluate import Evaluator
from search.metrics import spaces
from search.metrics.base import value
from search.noises import HELD_OUT, SEARCH, NoiseSet, joined
from search.pool.base import InlinePool
from search.race import Race, best_of
from search.space import Space
from search.study import Proposal, Study
from search.teaching import Sets

__all__ = ["METHODS", "METRICS", "Cell", "Method", "contest", "evaluator_of", "hand_made", "taught"]

METRICS = ("endpoint", "frechet:digits:teacher")
STARTS = ("ddim", "dpmpp-2m", "dpmpp-3m", "unipc-2-bh2")  # on every grid
BATCH = 8  # of the guided search; the others are asked and told one by one, which is best for them
FOLLOWED = 24
HELD = 512


@dataclass(frozen=True)
class Method:
    """A sampler with its evaluations, what ranks for it (from trajectories and a seed), and whether its trials race."""

    sampler: str
    evaluations: int = 400
    rank: Callable[[Trajectories, int], Rank] | None = None
    racing: bool = False


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
    "gp": Method("gp", 120),  # Optuna's needs seconds for a trial from there on
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


def contest(cell: Cell, told: Callable[[int, int], None] = lambda done, total: None) -> list[dict[str, Any]]:
    """The curve of one search: evaluations and their calls so far, and the best trial's own and held-out scores."""
    method, evaluator = METHODS[cell.method], evaluator_of(cell.model)
    pool, process = InlinePool(evaluator), evaluator.denoiser.process
    problem = Problem(
        cell.model, cell.nfe, cell.metric, method.evaluations, cell.seed, cell.noises, None, method.sampler
    )
    metric, space, pieces = spaces.judging(problem.measure), Space(process, cell.nfe), Sets.of(problem).search
    rank: Rank = _at_random(_followed(cell.model, cell.seed), cell.seed)
    if method.rank is not None:
        rank = method.rank(_followed(cell.model, cell.seed), cell.seed)
    study = Study(space, rank, BATCH, cell.seed, method.sampler)
    race = Race(
        pool,
        problem,
        pieces if method.racing else (joined(pieces),),
        metric,
        record=lambda trial: None,
        recorded=(),
        told=lambda phase, done, total: told(done, total),
    )
    held, curve, shown = NoiseSet(cell.seed, HELD_OUT, HELD), [], -1

    def mark() -> None:
        nonlocal shown
        best = best_of(study.trials, problem.noises)
        if best is None or best.score is None or best.number == shown:
            return
        shown = best.number
        rows = evaluate.observe(evaluator, held, best.schedule, [problem.measure])[0]
        curve.append(
            {
                "evaluations": len(study.trials),
                "calls": race.calls,
                "own": best.score.value,
                "held_out": value(metric, rows),
            }
        )

    for trial in race(hand_made(space), "start"):
        study.add(trial)
    mark()
    batch = BATCH if method.sampler == "guided" else 1
    while len(study.trials) < method.evaluations:
        asked = study.ask(min(batch, method.evaluations - len(study.trials)))
        if not asked:
            break
        study.tell(race(asked, "search", best_of(study.trials, problem.noises) if method.racing else None))
        mark()
    if not curve:
        raise InvalidInput(f"{cell.name}: not one trial could be measured")
    last = curve[-1] | {"evaluations": len(study.trials), "calls": race.calls}
    return [*curve, last]
