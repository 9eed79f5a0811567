"""The model's own arc length, measured once for a search: where its scores change, grids and proposals put their times.

States come from the model's own flow, so that a search needs no data. 32 samples at ratio 1.2 place knots within a few
percent; that is a step of a mutation.
"""

import contextlib

from fewstep.errors import InvalidModel
from fewstep.grids import score_optimal
from fewstep.grids.arc_length import MAX_RATIO, ArcLength
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import SEARCH, NoiseSet
from fewstep.search.evaluation.pool import Pool, WorkerLost

__all__ = ["COST", "SAMPLES", "arc_length", "measured"]

SAMPLES = 32
COST = 3_600  # sample-calls, about: the probe's steps hang on the process


def arc_length(evaluator: Evaluator, noises: NoiseSet) -> ArcLength:
    """Measured on the trajectories of the noises, on the coarsest probe; raises `InvalidModel` as the probe does."""
    noise = noises.draw(evaluator.shape).to(evaluator.device)
    return score_optimal.measure(evaluator.under(noises), noise, ratio=MAX_RATIO)


def measured(pool: Pool, seed: int) -> ArcLength | None:
    """The arc length for a search; None where the model gives nothing to measure, for searches go on without it."""
    with contextlib.suppress(InvalidModel, WorkerLost):
        return pool.submit(arc_length, NoiseSet(seed, SEARCH, SAMPLES)).result()
    return None
