"""Time search with the fit inside: grids are mutated, and judged by the network with rows fitted on a few noises.

Replay takes the teacher's outputs for the student's, so its loss ranks times only roughly. Here grids, replayed and
even ones, are mutated; replay screens the mutations at no call; the few best of each generation get rows fitted on a
few noises, and their distance on a few others says which grids the next generation descends from. One fit on all
training noises ends it. No gradient of the model is needed.

The score of a grid is the typical error, the geometric mean of the distances to the teacher's targets: squares of so
few noises hang on one that ends in another mode.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from fewstep import Schedule, Step, grids
from fewstep.search.budget import Share
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.batches import of_samples
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.evaluation.pool import Pool, WorkerLost, groups
from fewstep.search.genes import GAP
from fewstep.search.metrics.base import value_of
from fewstep.search.metrics.paired import Typical, squared_distances
from fewstep.search.optimize import replay
from fewstep.search.optimize.fit import ORDER, fit, fits
from fewstep.search.space import Space
from fewstep.search.stages import polish
from fewstep.search.state import Batch, SearchState
from fewstep.trajectory import Trajectories
from fewstep.values.origin import Origin
from fewstep.values.trial import Candidate

__all__ = ["TimeSearch", "assess", "calls", "cost", "propose", "search_times", "trials"]

NAME = "time-search"
MOST_NFE = 8  # with more calls, fits on so few training noises overfit
FEW = 32  # noises that a candidate is fitted on, and as many others that it is scored on
STARTS = 2  # replayed grids of lowest replay loss, beside the even ones, which some models fit better
GENERATIONS = 5
MUTATIONS = 96  # of a generation, screened by replay
SCREENED = 3  # of them, those that the network sees
PARENTS = 2
SPREAD = 0.4  # of a mutation's log λ-gaps, in the first generation
NARROWER = 0.8  # with each generation


def cost(state: SearchState, left: Share) -> Share:
    """Its calls, out of those that the polish would get, where they leave a polish beside it or there can be none."""
    needed = calls(state.split.train.count, state.problem.nfe)
    room = polish.calls(state, left)
    if not 1 < state.problem.nfe <= MOST_NFE or needed > room:
        return Share(0, 0)
    affordable = polish.count(state, room - needed) > 0 or polish.obstacle(state) is not None
    return Share(0, needed if affordable else 0)


def trials(state: SearchState) -> int:
    """How many trials it will take: one, or none."""
    return int(state.budget.share(NAME).calls > 0 and state.may_begin(NAME))


def propose(state: SearchState) -> Iterator[Batch]:
    """The schedule found, unless a fit has come to the same; calls that it did not need go to the polish."""
    if not trials(state):
        return
    train, trajectories = state.split.train, state.teacher.trajectories
    result = search_times(state.pool, state.space, train, trajectories, state.problem.seed, state.robust)
    state.budget.spend(NAME, result.calls, made=result.calls - result.saved)
    state.budget.move(int(state.budget.share(NAME).calls) - result.calls, NAME, polish.NAME)
    fits = {trial.schedule for trial in state.of("fit")}
    if result.schedule is not None and result.schedule not in fits:
        yield Batch.of([Candidate(result.schedule, Origin(NAME))], early_stopping=False)


class TimeSearch(NamedTuple):
    """The schedule found, its rows fitted on all noises; None where every path diverged. Network calls spent, and how
    many of them need not be made, because candidates share their first outputs."""

    schedule: Schedule | None
    calls: int
    saved: int


def search_times(
    pool: Pool, space: Space, noises: NoiseSet, trajectories: Trajectories, seed: int = 0, robust: bool = True
) -> TimeSearch:
    """The schedule that the search finds; ``trajectories`` are the teacher's for the ``noises``.

    Costs (2·32·21 + noises)·nfe network calls where four grids suit the process: 8 000 at 5 calls and 256 noises.
    Deterministic for any number of slots.
    """
    rng = np.random.default_rng(seed)
    judged = _Judged(pool, space, noises, trajectories, robust)
    replayed = replay.place(trajectories, space.even)
    judged.add([*_screened(trajectories, replayed, STARTS), *space.even])
    for generation in range(GENERATIONS if space.nfe > 1 and judged.ranked else 0):
        parents = np.stack([gaps for _, _, gaps in judged.ranked[:PARENTS]])
        parents = parents[np.arange(MUTATIONS) % len(parents)]
        mutations = parents + rng.normal(0, SPREAD * NARROWER**generation, parents.shape)
        children = GAP.clip(mutations - mutations.mean(axis=1, keepdims=True))
        judged.add(_screened(trajectories, children, SCREENED))
    if not judged.ranked:
        return TimeSearch(None, judged.calls, judged.saved)
    best, schedule = _schedule_of(space, judged.ranked[0][2]), None
    with contextlib.suppress(WorkerLost):
        schedule = pool.submit(fit, noises, trajectories, best, robust=robust).result().schedule
    return TimeSearch(schedule, judged.calls + noises.count * space.nfe, judged.saved)


def calls(noises: int, nfe: int) -> int:
    """Network calls of `search_times` with so many noises, at the most."""
    return (2 * min(FEW, noises // 2) * (STARTS + len(grids.EVEN) + GENERATIONS * SCREENED) + noises) * nfe


def assess(
    evaluator: Evaluator,
    noises: NoiseSet,
    trajectories: Trajectories,
    schedules: Sequence[Schedule],
    robust: bool = True,
) -> tuple[list[float], int]:
    """The score of each schedule's times: rows fitted on the first noises, whose ``trajectories`` these are, and the
    mean distance to the teacher's ends on the next as many; not finite where it diverges.

    Costs 2·n·nfe network calls a schedule, less those that are returned: schedules share their first outputs.
    """
    count = trajectories.states.shape[1]
    few = replace(noises, count=count)
    fitted, saved = fits(evaluator, few, trajectories, [(each, range(count)) for each in schedules], robust=robust)
    picks = range(count, min(2 * count, noises.count))
    ends = evaluator.picked(noises, picks, teacher.CALLS)[1]

    def score(samples: torch.Tensor) -> float:
        return value_of(Typical(), squared_distances(samples, ends)[:, None])

    scores, shared = of_samples(evaluator, [each.schedule for each in fitted], noises, picks, score)
    return scores, saved + shared


class _Judged:
    """Candidates that the network has seen and that end where they should: ``ranked`` by (score, number, log gaps).

    ``calls`` and ``saved`` are those of `TimeSearch` so far.
    """

    def __init__(self, pool: Pool, space: Space, noises: NoiseSet, trajectories: Trajectories, robust: bool) -> None:
        few = min(FEW, noises.count // 2)
        self._pool, self._space, self._robust = pool, space, robust
        self._noises, self._trajectories, self._each = noises, trajectories.first(few), 2 * few * space.nfe
        self.ranked: list[tuple[float, int, np.ndarray]] = []
        self.calls = self.saved = 0

    def add(self, candidates: Sequence[np.ndarray]) -> None:
        """Judge candidates, whose log λ-gaps these are."""
        tasks = groups(self._pool, candidates)
        schedules = ([_schedule_of(self._space, each) for each in task] for task in tasks)
        about = self._noises, self._trajectories
        futures = [self._pool.submit(assess, *about, each, self._robust) for each in schedules]
        self.calls += self._each * len(candidates)
        for task, future in zip(tasks, futures, strict=True):
            with contextlib.suppress(WorkerLost):
                scores, saved = future.result()
                self.saved += saved
                for score, candidate in zip(scores, task, strict=True):
                    if np.isfinite(score):
                        self.ranked.append((score, len(self.ranked), candidate))
        self.ranked.sort(key=lambda each: each[:2])


def _screened(trajectories: Trajectories, candidates: np.ndarray, most: int) -> list[np.ndarray]:
    """The ``most`` candidates of lowest replay loss."""
    order = np.argsort(replay.loss(trajectories, candidates), kind="stable")
    return list(candidates[order[:most]])


def _schedule_of(space: Space, gaps: np.ndarray) -> Schedule:
    return space.build(gaps, [Step(order=ORDER)] * space.nfe)
