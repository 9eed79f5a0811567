"""Arc-length seeds: the model's own arc length, measured once, and the best baseline solvers on grids along it.

Where the model's scores change, grids and proposals put their times. States come from the model's own flow, so that a
search needs no data. 32 samples at ratio 1.2 place knots within a few percent; that is a step of a mutation.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from fewstep import Schedule, solvers
from fewstep.errors import InvalidModel
from fewstep.grids import score_optimal
from fewstep.grids.arc_length import BLEND, MAX_RATIO, ArcLength
from fewstep.search.budget import Share
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import SEARCH, NoiseSet
from fewstep.search.evaluation.pool import Pool, WorkerLost
from fewstep.search.stages import fit, polish
from fewstep.search.state import BATCH, Batch, SearchState
from fewstep.values.origin import Origin
from fewstep.values.trial import Candidate, Trial

__all__ = ["SAMPLES", "along", "arc_length", "best_solvers", "cost", "measure", "propose"]

NAME = "arc-length"
SAMPLES = 32
CALLS = 3_600  # of the measurement, about: its steps hang on the process
SHARE = 4  # seeds take at most a quarter of the trials that are left
BLENDS = {"score-optimal": 1.0, "score-blend": BLEND}


def cost(state: SearchState, left: Share) -> Share:
    """The measurement, where the other stages could have all that they want; the seeds are trials like others."""
    first = min(BATCH, state.problem.budget) * state.calls_of_trial
    fits = fit.cost(state, Share(left.trials, math.inf)).calls
    wanted = first + CALLS + fits + polish.most_calls(state)
    return Share(0, CALLS if wanted <= state.budget.allowed else 0)


def propose(state: SearchState) -> Iterator[Batch]:
    """Measure the arc length, and put the solvers that did best among the baselines on its grids.

    Where the model gives nothing to measure the search goes on without.
    """
    if not state.budget.share(NAME).calls:
        return
    arc = measure(state.pool, state.problem.seed)
    if arc is None:
        return
    state.budget.spend(NAME, arc.calls)
    state.space = replace(state.space, arc=arc)
    state.on.curve(arc)
    most = min(BATCH, state.budget.left.trials // SHARE)
    seeds = islice(along(arc, state.problem.nfe, best_solvers(state.of("baselines"))), most)
    candidates = [Candidate(schedule, Origin(NAME, name)) for name, schedule in seeds]
    if candidates:
        yield Batch.of(candidates)


def measure(pool: Pool, seed: int) -> ArcLength | None:
    """The arc length for a search; None where the model gives nothing to measure."""
    with contextlib.suppress(InvalidModel, WorkerLost):
        return pool.submit(arc_length, NoiseSet(seed, SEARCH, SAMPLES)).result()
    return None


def arc_length(evaluator: Evaluator, noises: NoiseSet) -> ArcLength:
    """Measured on the trajectories of the noises, on the coarsest probe; raises `InvalidModel` as the probe does."""
    noise = noises.draw(evaluator.shape).to(evaluator.device)
    return score_optimal.measure(evaluator.under(noises), noise, ratio=MAX_RATIO)


def along(arc: ArcLength, nfe: int, names: Iterable[str]) -> Iterator[tuple[str, Schedule]]:
    """Names and schedules of named solvers on the score-optimal grid and its blend with even log-SNR.

    The last orders are lowered, for the last step of these grids is long.

    >>> import numpy as np
    >>> from fewstep import processes
    >>> arc = ArcLength(processes.VPLinear(), "corrector", np.linspace(-5, 4.6, 101), np.linspace(0, 2, 101))
    >>> [name for name, _ in along(arc, 4, ["ddim"])]
    ['ddim score-optimal', 'ddim score-blend']
    """
    for name in names:
        for grid, blend in BLENDS.items():
            schedule = solvers.named(name).schedule(arc.process, nfe, arc.grid(blend), True)
            yield f"{name} {grid}", schedule.canonical()


def best_solvers(baselines: Sequence[Trial]) -> list[str]:
    """Names of the solvers of these trials, the best first."""
    scored = sorted((t.score.value, t.number, t.origin.name) for t in baselines if t.score)
    return list(dict.fromkeys(name.split()[0] for *_, name in scored))
