"""In-process search: one call from a denoiser to the best schedule for a number of network calls."""

from collections.abc import Sequence
from pathlib import Path

from fewstep import Schedule
from fewstep.errors import InvalidInput
from fewstep.models import Denoiser
from fewstep.search.engine import Progress, Record, run
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.samplers.ranking import RankFactory, by_replay
from fewstep.values.catalogue import Catalogue
from fewstep.values.limits import Limits
from fewstep.values.problem import NOISES, Problem, Result, Trial

__all__ = ["find"]


def find(
    denoiser: Denoiser,
    nfe: int,
    shape: tuple[int, ...],
    metric: str = "endpoint",
    budget: int = 400,
    seed: int = 0,
    noises: int = NOISES,
    *,
    rank: RankFactory = by_replay,
    device: str = "cpu",
    progress: Progress = lambda phase, done, total: None,
    record: Record = lambda trial: None,
    sampler: str = "guided",
    seeds: Sequence[Schedule] = (),
    others: Sequence[Trial] = (),
    report: str | None = None,
    limits: Limits = Limits(),
    features: Path | None = None,
) -> Result:
    """The best schedule with ``nfe`` network calls for ``denoiser`` on samples of ``shape`` (without the batch).

    The noises of a conditional denoiser run under its conditions in turn. ``metric`` says what is lowered, and
    ``report`` what else is measured on the result, both as `fewstep.values.objective.Measure` has it ("endpoint",
    "frechet:digits"); ``features`` is a folder with more feature spaces and references (`fewstep.values.catalogue`).
    ``budget`` is how many schedules are evaluated, ``noises`` on how many start noises each at most; ``limits`` may end
    it earlier. ``rank`` makes the ranker of proposals from teacher trajectories: physics alone by default;
    ``predictor.ranker`` learns from the trials as well. ``sampler`` is what proposes, one of
    `fewstep.values.problem.SAMPLERS`. ``record`` is called with every trial, for instance to export them
    (`fewstep.search.export`). ``seeds`` are schedules found with one call less: the result is no worse than they are.
    ``others`` are trials of the same model with other numbers of calls, from which the ranker learns. Scores in the
    `Result` are measured on held-out noises. Raises `InvalidInput` for bad arguments and `SearchFailed` where nothing
    could be evaluated.

    >>> from fewstep import models
    >>> result = find(models.zoo.load("digits-mixture"), nfe=3, shape=(1, 8, 8), budget=4, noises=16)
    >>> result.schedule.nfe, result.score.noises
    (3, 128)
    """
    if not shape or not all(type(size) is int and size > 0 for size in shape):
        raise InvalidInput(f"shape is that of one sample, for instance (1, 8, 8), got {shape!r}")
    problem = Problem("in-process", nfe, metric, budget, seed, noises, report, sampler, limits)
    Catalogue(features).check(problem.measures, shape)
    pool = InlinePool(Evaluator(denoiser, shape, device=device, metrics=features))
    return run(problem, denoiser.process, pool, rank, record, progress=progress, seeds=seeds, others=others)
