"""Times for one solver: its steps stay as they are, so that a line of sigmas is the whole result.

For samplers that people already have (`fewstep.export.hosts`). Baselines are the solver on every named grid that can be
placed; then replayed and mutated times, screened by the ranker at no call, a few of each generation measured in pairs
with the incumbent. Lists end at clean data, as hosts' lists do, and all orders are the sampler's own.

| symbol | meaning | shape |
|---|---|---|
| K | strides: neighbours of the list, each as many calls as the solver makes for one | |
| u | logits of the λ-gaps of the strides; the last time is clean data in the place of t_min | (K,) |
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from fewstep import Schedule, grids, solvers
from fewstep.errors import InvalidInput
from fewstep.export.hosts import Target
from fewstep.processes import Process
from fewstep.search.budget import Share
from fewstep.search.gaps import different, log_gaps, log_snrs, times
from fewstep.search.genes import GAP
from fewstep.search.optimize import replay
from fewstep.search.state import BATCH, Batch, SearchState
from fewstep.solvers import Solver
from fewstep.values.origin import Origin
from fewstep.values.stages import STAGES, Stage
from fewstep.values.trial import Candidate

__all__ = ["NAME", "FullOrder", "Layout", "on_grids", "stages_for", "strides"]

NAME, BASELINES = "solver-times", "baselines"
MUTATIONS = 96  # of a generation, screened by the ranker
SCREENED = 3  # of them, those that the network sees
PARENTS = 2
ROUNDS = 12  # of evolution by replay alone
PATIENCE = 5  # generations without a new list, after which there are none
SPREAD, NARROWER, LEAST = 0.4, 0.85, 0.05  # of a mutation's log λ-gaps: at first, with each generation, at last


def stages_for(solver: str | Target, process: Process, nfe: int) -> tuple[Stage, Stage]:
    """The stages of a search of times with ``nfe`` calls, for a solver by name or for a host's sampler.

    Raises `UnknownName` for the solver, `InvalidInput` where it is not made for the process, adds fresh noise, or makes
    no schedule of so many calls that ends at clean data.
    """
    method = solver if isinstance(solver, Target) else _named(solver)
    strides(method, process, nfe)
    look = STAGES[BASELINES]
    return (
        Stage(BASELINES, look.label, look.colour, partial(_propose_grids, method), _cost),
        Stage(NAME, "times of one solver", "#1f9a93", partial(_propose_times, method)),
    )


class Layout(Protocol):
    """What goes over a list of times: a named solver at its full orders, or a host's sampler."""

    @property
    def name(self) -> str: ...
    def on(self, process: Process, times: Sequence[float]) -> Schedule: ...


@dataclass(frozen=True)
class FullOrder:
    """A named solver whose orders are not lowered at the end, as hosts do not."""

    solver: Solver

    @property
    def name(self) -> str:
        """The solver's."""
        return self.solver.name

    def on(self, process: Process, times: Sequence[float]) -> Schedule:
        """The solver's schedule on a list of times."""
        return self.solver.on(process, times, lower_order_final=False)


def _named(name: str) -> Layout:
    solver = solvers.named(name)
    if solver.stochastic:
        raise InvalidInput(f"{name} adds fresh noise, and a search of times compares single samples: take another")
    return FullOrder(solver)


def strides(solver: Layout, process: Process, nfe: int) -> int:
    """How many strides of the solver make ``nfe`` calls, to clean data; raises `InvalidInput` where none do."""
    for count in range(nfe, 0, -1):
        if solver.on(process, _even(process, count)).nfe == nfe:
            return count
    raise InvalidInput(f"{solver.name} makes no schedule of {nfe} calls to clean data: try {nfe - 1} or {nfe + 1}")


def on_grids(solver: Layout, process: Process, nfe: int) -> dict[str, tuple[Schedule, np.ndarray]]:
    """Name -> the solver's schedule on every named grid that can be placed, its end at clean data, and its logits.

    >>> from fewstep import processes, solvers
    >>> list(on_grids(FullOrder(solvers.named("flow-euler")), processes.Flow(), 4))[:3]
    ['flow-euler logsnr', 'flow-euler time', 'flow-euler quadratic']
    """
    count = strides(solver, process, nfe)
    found: dict[str, tuple[Schedule, np.ndarray]] = {}
    for name in grids.names():
        try:
            placed = grids.named(name)(process, count)
            schedule = solver.on(process, (*placed[:-1], process.t_zero)).canonical()
        except InvalidInput:
            continue
        if schedule not in [each for each, _ in found.values()]:
            found[f"{solver.name} {name}"] = schedule, _logits(process, (*placed[:-1], process.t_min))
    return found


def _even(process: Process, count: int) -> tuple[float, ...]:
    return grids.time(process, count, end=process.t_zero)


def _cost(state: SearchState, left: Share) -> Share:
    most = min(state.problem.sizes.baselines or BATCH, BATCH)
    return Share(0, min(most * state.calls_of_trial, max(left.calls, 0)))


def _propose_grids(method: Layout, state: SearchState) -> Iterator[Batch]:
    """The grids that replay ranks first."""
    problem = state.problem
    found = on_grids(method, state.space.process, problem.nfe)
    names = list(found)
    forecasts = state.ranker([], [schedule for schedule, _ in found.values()])
    most = min(problem.sizes.baselines or BATCH, BATCH, max(problem.budget // 2, 1))
    best = [names[i] for i in np.argsort(forecasts.mean, kind="stable")[:most]]
    yield Batch.of([Candidate(found[name][0], Origin(BASELINES, name)) for name in best])


def _propose_times(method: Layout, state: SearchState) -> Iterator[Batch]:
    """Replayed times, then mutations of the best trials', until the budget is spent or there are no new ones."""
    process = state.space.process
    found = on_grids(method, process, state.problem.nfe)
    logits = dict(found.values())
    rng = np.random.default_rng(state.problem.seed)
    proposals, generation, idle = _replayed(state, method, np.stack(list(logits.values())), rng), 0, 0
    while (room := min(SCREENED, state.budget.left.trials)) > 0 and state.whole:
        seen = {trial.schedule for trial in state.trials}
        made = {_listed(method, process, row): row for row in proposals}
        new = [schedule for schedule in made if schedule not in seen]
        idle = 0 if new else idle + 1
        if idle == PATIENCE:
            state.ended = "space"
            return
        if new:
            logits |= made
            forecasts = state.rank(state.trials, new)
            chosen = [new[i] for i in np.argsort(forecasts.mean, kind="stable")[:room]]
            yield Batch.of([Candidate(schedule, Origin(NAME)) for schedule in chosen])
        parents = np.stack([logits[trial.schedule] for trial in state.whole[:PARENTS]])
        parents = parents[np.arange(MUTATIONS) % len(parents)]
        proposals, generation = _mutated(parents, generation, rng), generation + 1


def _replayed(state: SearchState, method: Layout, starts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Logits (M, K) to begin with: the grids' by descent with free rows, and those that the solver's own replay alone
    comes to, which takes no call."""
    process = state.space.process
    placed = replay.place(state.teacher.trajectories, starts)
    placed = placed[different(placed)]
    best = np.concatenate([placed, starts])
    for generation in range(ROUNDS):
        parents = np.repeat(best[:PARENTS], MUTATIONS // (2 * PARENTS), axis=0)
        pool = np.concatenate([best, _mutated(parents, generation, rng)])
        forecasts = state.ranker([], [_listed(method, process, row) for row in pool])
        best = pool[np.argsort(forecasts.mean, kind="stable")[: 4 * PARENTS]]
    return np.concatenate([best[:PARENTS], placed])


def _mutated(parents: np.ndarray, generation: int, rng: np.random.Generator) -> np.ndarray:
    """Logits (M, K) near those of ``parents`` (M, K), nearer with each generation; of mean zero, in their range."""
    drawn = parents + rng.normal(0, max(SPREAD * NARROWER**generation, LEAST), parents.shape)
    mutated: np.ndarray = GAP.clip(drawn - drawn.mean(axis=1, keepdims=True))
    return mutated


def _listed(solver: Layout, process: Process, row: np.ndarray) -> Schedule:
    """The solver's schedule on the list of these logits."""
    listed = (*times(process, row)[:-1], process.t_zero)
    return solver.on(process, listed).canonical()


def _logits(process: Process, listed: tuple[float, ...]) -> np.ndarray:
    """Logits (K,) of a list that ends at t_min."""
    read: np.ndarray = GAP.clip(log_gaps(np.diff(log_snrs(process, np.array(listed)))))
    return read
