"""`tune`: a search on a diffusers pipeline, in the process that has its weights.

    tuned = fewstep.tune(pipe, nfe=8, prompts=["a fox in the snow", "a harbour at dawn", …], effort="quick")
    fewstep.diffusers.install(pipe, tuned.schedule)
    image = pipe("a cat on a roof").images[0]

Prompts are data as noises are: a quarter of them is kept for the test, so the published ratio is on noises and on
prompts that chose nothing; the ratio on the searched prompts stands beside it. The pipeline's own scheduler with as
many steps is baseline number one. Trials are written to the user's cache folder as they come: the same call after a
kill goes on where it was.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Unpack

import torch

from fewstep.cache import user_cache
from fewstep.client import Client
from fewstep.diffusers.capture.denoiser import PipelineDenoiser, dtype_of
from fewstep.diffusers.capture.from_pipeline import from_pipeline
from fewstep.diffusers.capture.memo import content
from fewstep.diffusers.capture.networks import fingerprint
from fewstep.diffusers.capture.own import own_schedule
from fewstep.diffusers.circumstances import Circumstances
from fewstep.diffusers.installing import adapters_of
from fewstep.diffusers.signature import parameters_of
from fewstep.errors import FewstepError, InvalidInput
from fewstep.schedule import Schedule, compile
from fewstep.search.engine import run
from fewstep.search.evaluation import evaluator as tasks
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import SEARCHED, NoiseSet
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.log import Callbacks, WarmStart
from fewstep.search.metrics.bootstrap import ratio_interval
from fewstep.tuning.comparison import Comparison, compare
from fewstep.tuning.journal import Journal, Ratio
from fewstep.tuning.publishing import publication_of
from fewstep.values.problem import Options, Problem
from fewstep.values.publication import Publication
from fewstep.values.published import Published
from fewstep.values.rankers import RANKERS
from fewstep.values.result import Result
from fewstep.values.score import Interval

__all__ = ["TuneResult", "default_prompts", "tune", "wants_prompt"]

UNSEEN = 4  # one of so many prompts, or more, is for the test alone
OWN = "own"  # the first word of the baseline that the pipeline runs today
BESIDE = 2  # the test on searched prompts takes one of so many noises


@dataclass(frozen=True)
class TuneResult:
    """What `tune` found: the search's ``result``; ``on_searched``, the ratio with its interval on the prompts of the
    search (None where no prompt was kept for the test); ``own``, the schedule that the pipeline runs today, if it is
    one; ``notes`` for people; the ``denoiser``, the ``folder`` of its journal, and the ``digest`` of what a search of
    it depends on: networks, process, arguments and conditions."""

    result: Result
    denoiser: PipelineDenoiser = field(repr=False)
    folder: Path
    digest: str
    own: Schedule | None = None
    on_searched: Ratio | None = None
    notes: tuple[str, ...] = ()

    @property
    def schedule(self) -> Schedule:
        """The schedule to install."""
        return self.result.schedule

    @property
    def searched_ratio(self) -> float | None:
        """The ratio on the prompts of the search; None where no prompt was kept for the test."""
        return None if self.on_searched is None else self.on_searched.value

    @property
    def searched_interval(self) -> Interval | None:
        """The 95 % interval of `searched_ratio`."""
        return None if self.on_searched is None else self.on_searched.interval

    @property
    def searched(self) -> Circumstances:
        """What it was searched at, for `fewstep.diffusers.install`, which warns where the pipeline runs otherwise."""
        view, mu = self.denoiser.view, self.denoiser.mu
        return Circumstances(mu, self.denoiser.shape, str(dtype_of(view)).removeprefix("torch."), adapters_of(view))

    def compare(self, noises: int = 8) -> Comparison:
        """Before and after, on the same seeds: the pipeline as it is, its own scheduler with as few calls, and what was
        found; `Comparison.write_html` makes a page of it."""
        fewer: dict[str, Schedule | str] = {} if self.own is None else {f"own, {self.own.nfe} calls": self.own}
        plans: dict[str, Schedule | str] = {"as it is": "now"} if self.own is not None else {}
        return compare(self.denoiser, plans | fewer | {"found": self.schedule}, noises=noises, pictures=min(noises, 8))

    def publication(self, name: str | None = None) -> Publication:
        """The result with what a service is to know of the pipeline, which it calls ``name``, by default after its
        class; ``to_json`` writes it for `fewstep publish`. Raises `InvalidInput` for a name that is none."""
        return publication_of(self.result, self.denoiser, self.digest, name)

    def publish(self, service: str | Client, name: str | None = None) -> Published:
        """Publish the result to a running service, by its address or a client of it; the service then gives it as it
        gives those of its own searches: ``Client.best(name, nfe)``. The same result again changes nothing.

        Raises `InvalidInput` for a name that is none or the zoo's, and `ServiceError` where the service does not
        answer.
        """
        publication = self.publication(name)
        if isinstance(service, Client):
            return service.publish(publication)
        with Client(service) as client:
            return client.publish(publication)


def default_prompts() -> list[str]:
    """64 prompts of many subjects and styles, for those who bring none."""
    return (resources.files("fewstep.tuning") / "prompts.txt").read_text().splitlines()


def tune(
    pipe: Any,
    nfe: int,
    prompts: Sequence[str] | None = None,
    conditions: Sequence[Mapping[str, Any]] | None = None,
    call: Mapping[str, Any] | None = None,
    *,
    batch: int = 8,
    cache: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    **options: Unpack[Options],
) -> TuneResult:
    """The best schedule with ``nfe`` calls for a diffusers pipeline that is called with the arguments ``call``.

    ``prompts`` or ``conditions`` as `fewstep.diffusers.from_pipeline` takes them; `default_prompts` where the pipeline
    wants a prompt and none is given. The ``options`` are those of `fewstep.values.problem.Problem`; the effort is
    "quick" by default. ``progress(phase, done, total)`` is told how far it is. Trials and teachers are kept below
    ``cache``, by default the user's cache folder.

    Raises what `from_pipeline` raises, `InvalidInput` for options that do not fit, `SearchFailed` where nothing could
    be evaluated.
    """
    if prompts is None and conditions is None and wants_prompt(pipe):
        prompts = default_prompts()
    given = dict(call or {})
    denoiser = from_pipeline(pipe, prompts, conditions, batch, **given)
    options.setdefault("effort", "quick")
    identity = _identity(pipe, denoiser, given)
    problem = Problem(identity[:32], nfe, **options)
    root = user_cache() if cache is None else cache
    journal = Journal(root / "tune" / hashlib.sha256(f"{identity} {problem!r}".encode()).hexdigest()[:16])
    journal.begin({"pipeline": denoiser.name, "nfe": nfe, "effort": problem.effort, "conditions": denoiser.conditions})

    notes, own = list[str](), None
    try:
        own = own_schedule(denoiser, nfe)
        if compile(own).noise.shape[1]:
            raise InvalidInput(
                "it adds fresh noise, so its samples have no teacher's of the same noise to be compared with"
            )
    except FewstepError as error:
        own = None
        notes.append(f"the pipeline's own scheduler is not among the baselines: {error}")
    if denoiser.batch < batch:
        notes.append("samples run one at a time: this pipeline's outputs depend on what else is in the batch")
    unseen = _unseen(denoiser.conditions)
    if denoiser.conditions and not unseen:
        notes.append(f"of fewer than {UNSEEN} conditions none is kept for the test, which runs on the searched ones")

    device = str(denoiser.view._execution_device)
    evaluator = Evaluator(denoiser, denoiser.shape, identity, root / "teachers", device, unseen=unseen)
    result = journal.result
    if result is None:
        warm = WarmStart(own={} if own is None else {f"{OWN} {type(pipe.scheduler).__name__}": own})
        on = Callbacks(journal.add, progress) if progress else Callbacks(journal.add)
        rank = RANKERS["learned" if problem.effort == "thorough" else "replay"]
        result = run(problem, denoiser.process, InlinePool(evaluator), rank, log=journal.log(), warm=warm, on=on)
        journal.end(result)
    searched = journal.searched
    if unseen and searched is None:
        searched = _searched(evaluator, result)
        journal.keep(searched)
    return TuneResult(result, denoiser, journal.folder, identity, own, searched, tuple(notes))


def wants_prompt(pipe: Any) -> bool:
    """Whether the pipeline takes a prompt."""
    return "prompt" in parameters_of(pipe)


def _unseen(conditions: int) -> int:
    """How many of the conditions are kept for the test."""
    return math.ceil(conditions / UNSEEN) if conditions >= UNSEEN else 0


def _identity(pipe: Any, denoiser: PipelineDenoiser, call: Mapping[str, Any]) -> str:
    """What a search depends on: networks, process, arguments and conditions."""
    parts = [
        fingerprint(pipe),
        repr(denoiser.process),
        content(call),
        [content(each) for each in denoiser.per_condition],
    ]
    return hashlib.sha256(json.dumps(parts, default=repr).encode()).hexdigest()


def _searched(evaluator: Evaluator, result: Result) -> Ratio:
    """The ratio on unseen noises under the conditions of the search."""
    problem, objective = result.problem, result.problem.objective
    noises = NoiseSet(problem.seed, SEARCHED, max(problem.test_noises // BESIDE, problem.noises))
    with torch.no_grad():
        ours, theirs = (
            tasks.observe(evaluator, noises, measured.schedule, [objective])[0]
            for measured in (result.winner, result.baseline)
        )
    metric = evaluator.metric(objective)
    ratio = metric.value(ours) / metric.value(theirs)
    return Ratio(ratio, Interval(*ratio_interval(metric, ours, theirs, problem.seed)))
