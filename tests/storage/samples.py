"""Values to store, valid and easy to tell apart, and the moves that tests make again and again."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

import fewstep
from fewstep import Schedule, processes, solvers
from fewstep.grids.arc_length import ArcLength
from fewstep.values.limits import Limits
from fewstep.values.model import PIPELINE, Facts, Model, ModelState
from fewstep.values.objective import DEFAULT
from fewstep.values.problem import Problem
from fewstep.values.publication import Publication
from fewstep.values.result import Cost, FrontPoint, Measured, Result, Summary
from fewstep.values.score import Interval, Score
from fewstep.values.trial import Trial
from storage import Claim, Jobs, Store
from tests.trials import trial_of

PROCESS = processes.VPLinear()


def model(letter: str = "a") -> Model:
    """A model whose digest repeats ``letter``."""
    created = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    digest = letter * 64
    return Model(digest[:16], f"m-{letter}", "zoo", "Ωmega", (1, 8, 8), processes.to_dict(PROCESS), digest, created)


def submitted(letter: str = "a") -> Model:
    """A model that nobody has tried yet."""
    return replace(model(letter), state=ModelState.SUBMITTED, source="upload", facts=Facts("UNet2DModel", "noise"))


def on_hub(letter: str = "a") -> Model:
    """A model whose files nobody has fetched yet."""
    return replace(submitted(letter), source="hub", shape=(), process={}, facts=Facts())


def tuned(letter: str = "a") -> Model:
    """A pipeline that was tuned where its weights are."""
    return replace(
        model(letter), source=PIPELINE, facts=Facts("FluxTransformer2DModel", "flow", conditions=3, passes=2)
    )


def problem(letter: str = "a", nfe: int = 4, seed: int = 0, metric: str = DEFAULT) -> Problem:
    """A problem on `model`."""
    return Problem(letter * 16, nfe, metric, budget=20, seed=seed)


def limited(letter: str = "a", nfe: int = 4) -> Problem:
    """A problem on `model` with every field of its own."""
    limits = Limits(calls=10**9, seconds=0.1 + 0.2, failures=0, improvement=1 / 3)
    return Problem(
        letter * 16,
        nfe,
        "frechet:digits",
        budget=20,
        seed=1,
        noises=64,
        report="kid:digits:digits",
        sampler="guided",
        limits=limits,
    )


def schedule(nfe: int = 4, grid: str = "logsnr") -> Schedule:
    """A hand-made schedule."""
    return solvers.named("dpmpp-2m").schedule(PROCESS, nfe=nfe, grid=grid)


def fitted(nfe: int = 4) -> Schedule:
    """A schedule whose numbers are its own, with digits that no short decimal holds."""
    plain = schedule(nfe)
    rows = fewstep.compile(plain)
    noisy = rows.outputs * (1 + np.tril(np.random.default_rng(0).normal(size=rows.outputs.shape)) / 3)
    return replace(plain, fitted=replace(rows, outputs=noisy))


def arc(bend: float = 0.3) -> ArcLength:
    """An arc length with digits that no short decimal holds; the larger ``bend``, the more of it lies at the end."""
    lam = np.linspace(*PROCESS.log_snr(np.array([PROCESS.t_max, PROCESS.t_min])), 91)
    return ArcLength(PROCESS, "corrector", lam, np.expm1(bend * (lam - lam[0])) / 3, 32, "flow", 12345)


def score(value: float = 0.1) -> Score:
    """A score."""
    return Score(value, value / 7, noises=64, calls=256)


def trial(number: int, value: float | None = 0.1, plan: Schedule | None = None) -> Trial:
    """A trial; a failed one where ``value`` is None."""
    plan = plan or schedule()
    if value is None:
        return trial_of(number, plan, None, "mutation", reason="out of memory")
    return trial_of(number, plan, score(value), "mutation", predicted=-1 / 3, predicted_std=0.1)


def result(asked: Problem, value: float = 0.05, plan: Schedule | None = None) -> Result:
    """A result that answers ``asked``."""
    second = None if asked.report is None else score(value / 3)
    second_baseline = None if asked.report is None else score(0.3)
    return Result(
        problem=asked,
        winner=Measured("fit", plan or schedule(asked.nfe), score(value), Interval(value / 2, value * 2), second),
        baseline=Measured("dpmpp-2m logsnr", schedule(asked.nfe, "quadratic"), score(0.2), None, second_baseline),
        ratio=value / 0.2,
        ratio_interval=Interval(value / 0.3, value / 0.1),
        teacher_error=1e-7,
        cost=Cost(calls=12345, evaluations=20, seconds=1.5),
    )


def publication(letter: str = "a", nfe: int = 4, value: float = 0.05, plan: Schedule | None = None) -> Publication:
    """A result of `tuned`, with all that may be missing."""
    return Publication(tuned(letter), summarised(result(problem(letter, nfe), value, plan)), "0.1.0")


def summarised(result: Result) -> Result:
    """The result with all that may be missing: summaries, verdict, warnings, calls by their kind."""

    def summaries(scale: float) -> tuple[Summary, ...]:
        values = {"typical": (0.04, 0.03, 0.05), "median": (0.03, 0.02, 0.04), "p95": (0.2, 0.1, 0.3)}
        values |= {"switch": (0.05, 0.01, 0.1), "frechet:pixels:teacher": (0.3, 0.2, 0.4)}
        return tuple(
            Summary(name, scale * value, Interval(scale * low, scale * high))
            for name, (value, low, high) in values.items()
        )

    return replace(
        result,
        winner=replace(result.winner, summaries=summaries(1), passes_per_sample=6),
        baseline=replace(result.baseline, summaries=summaries(2), passes_per_sample=8),
        cost=replace(result.cost, passes_per_call=2, test_calls=2345, shared_calls=777),
        verdict="nothing better was found: the best candidate is worse by typical",
        warnings=("median", "p95"),
        out_of_span=0.25,
        front=(FrontPoint(6, 0.1, "a" * 64), FrontPoint(8, 0.05, "b" * 64)),
    )


def states(store: Store, id: str) -> list[str]:
    """Every state the log tells of."""
    return [event.data["state"] for event in store.events(id) if event.kind == "state"]


def report(jobs: Jobs, claim: Claim) -> dict[str, Callable[[], object]]:
    """Every verb of a claim, ready to call."""
    return {
        "heartbeat": lambda: jobs.heartbeat(claim, 60),
        "record": lambda: jobs.record(claim, trial(0)),
        "record_curve": lambda: jobs.record_curve(claim, arc()),
        "phase": lambda: jobs.phase(claim, "baselines", 1, 2),
        "release": lambda: jobs.release(claim),
        "fail": lambda: jobs.fail(claim, "no"),
        "succeed": lambda: jobs.succeed(claim, result(claim.search.problem)),
    }


def running(store: Store, letter: str = "a", nfe: int = 4, seed: int = 0, metric: str = DEFAULT) -> Claim:
    """A search that a runner has claimed."""
    store.add_model(model(letter))
    store.submit(problem(letter, nfe, seed, metric))
    claim = Jobs(store).claim("runner", 60)
    assert claim is not None
    return claim


def publish(
    store: Store,
    nfe: int,
    value: float,
    seed: int = 0,
    plan: Schedule | None = None,
    letter: str = "a",
    metric: str = DEFAULT,
) -> str:
    """A search that succeeded with that score; its id."""
    claim = running(store, letter, nfe, seed, metric)
    Jobs(store).succeed(claim, result(claim.search.problem, value, plan))
    return claim.search.id
