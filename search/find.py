"""In-process search: one call from a denoiser to the best schedule for a number of network calls."""

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from fewstep.errors import InvalidInput
from fewstep.export.hosts import Target
from fewstep.models import Denoiser
from fewstep.search.engine import run
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.log import Callbacks, WarmStart
from fewstep.search.stages.solver_times import stages_for
from fewstep.values.catalogue import Catalogue
from fewstep.values.problem import Options, Problem
from fewstep.values.rankers import RANKERS, RankFactory
from fewstep.values.result import Result
from fewstep.values.stages import Stage

__all__ = ["find"]

IN_PROCESS = "in-process"  # what a model is called that no service knows


def find(
    denoiser: Denoiser,
    nfe: int,
    shape: tuple[int, ...],
    *,
    rank: str | RankFactory = "replay",
    device: str = "cpu",
    warm: WarmStart = WarmStart(),
    on: Callbacks = Callbacks(),
    stages: Sequence[Stage] = (),
    features: Path | None = None,
    cache: Path | None = None,
    identity: str = "",
    solver: str | Target | None = None,
    **options: Unpack[Options],
) -> Result:
    """The best schedule with ``nfe`` network calls for ``denoiser`` on samples of ``shape`` (without the batch).

    The ``options`` are those of `fewstep.values.problem.Problem`: ``metric`` is what the search lowers, ``budget`` the
    number of schedules it evaluates, ``limits`` what may end it earlier, and so on. ``features`` is a folder with more
    feature spaces and references (`fewstep.values.catalogue`). The noises of a conditional denoiser run under its
    conditions in turn. ``rank`` is the ranker of proposals, by its name in `fewstep.values.rankers` or as what makes it
    from teacher trajectories: "replay" is physics alone, "learned" learns from the trials as well. ``warm`` is what
    earlier searches of the model found; ``on`` reports progress and every trial, for instance to export them
    (`fewstep.search.export`). ``stages`` are those to run, by default those of the effort
    (`fewstep.values.stages`). With a ``solver`` of `fewstep.solvers.names`, or a host's
    sampler (`fewstep.export.hosts`), only its times are searched, so that a line of sigmas says the result
    (`fewstep.search.stages.solver_times`). What the teacher did is left in the folder ``cache`` for the next search of
    the model, which is recognised by ``identity``, for instance a digest of its weights. Scores in the `Result` are
    measured on test noises. Raises `InvalidInput` for bad arguments and
    `SearchFailed` where nothing could be evaluated.

    >>> from fewstep import models
    >>> result = find(models.zoo.load("digits-mixture"), nfe=5, shape=(1, 8, 8), effort="quick")
    >>> result.schedule.nfe, result.score.noises, result.cost.search_calls <= 3000
    (5, 32, True)
    """
    if not shape or not all(type(size) is int and size > 0 for size in shape):
        raise InvalidInput(f"shape is that of one sample, for instance (1, 8, 8), got {shape!r}")
    problem = Problem(IN_PROCESS, nfe, **options)
    Catalogue(features).check(problem.objectives, shape)
    if cache is not None and not identity:
        raise InvalidInput(
            "a cache is shared by the searches of one model: give its identity, as a digest of its weights"
        )
    pool = InlinePool(Evaluator(denoiser, shape, identity or IN_PROCESS, cache, device, metrics=features))
    if solver is not None:
        if stages:
            raise InvalidInput("a solver has stages of its own: leave stages or solver out")
        stages = stages_for(solver, denoiser.process, nfe)
    factory = RANKERS[rank] if isinstance(rank, str) else rank
    return run(problem, denoiser.process, pool, factory, warm=warm, on=on, stages=stages)
