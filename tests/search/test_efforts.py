"""Efforts: what they spend, what they publish, and that a teacher is paid for once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import fewstep
from fewstep import models, processes, solvers
from fewstep.errors import InvalidInput, SearchFailed
from fewstep.search import find
from fewstep.search.budget import Share
from fewstep.search.engine import run
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import SEARCH, TEST, NoiseSet
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.log import Callbacks, TrialLog
from fewstep.search.metrics.paired import Typical
from fewstep.search.optimize.fit import cross_fit, fit
from fewstep.search.optimize.span import out_of_span
from fewstep.search.samplers.ranking import by_replay
from fewstep.search.stages.summaries import guard
from fewstep.search.state import Batch, SearchState
from fewstep.values.cost_card import cost_card
from fewstep.values.limits import Limits
from fewstep.values.objective import Objective
from fewstep.values.origin import Origin
from fewstep.values.problem import Problem
from fewstep.values.stages import STAGES, Stage
from fewstep.values.trial import Candidate, Observed, Trial
from tests.search.timeless import timeless

TYPICAL, RMS = Objective("typical"), Objective("rms")


@pytest.mark.parametrize(("effort", "nfe"), [("quick", 4), ("quick", 20), ("standard", 4)])
def test_an_effort_bounds_the_search_and_the_test_is_beside_it(
    blobs: models.GaussianMixture, effort: str, nfe: int
) -> None:
    """Search calls are within the effort, test calls what its card says; together they are those of the model."""
    calls = 0

    def count(samples: torch.Tensor) -> None:
        nonlocal calls
        calls += len(samples)

    def call(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        count(x)
        output = blobs(x, t)
        if output.requires_grad:
            output.register_hook(count)
        return output

    counted = models.from_callable(call, blobs.process, prediction="data")
    result = find(counted, nfe, (4,), effort=effort)
    card = cost_card(result.problem)
    assert result.cost.search_calls <= card.search_calls == result.problem.limits.calls
    assert result.cost.test_calls == card.test_calls
    assert result.calls == calls
    assert result.ratio < 0.9
    assert result.score.noises == result.problem.test_noises
    assert {stage.label for stage in result.cost.stages} == set(result.problem.sizes.stages)


def test_a_quick_search_of_digits_halves_the_typical_error() -> None:
    """Of the best of three named solvers, on noises that it has not seen, for less than the calls of sixty images."""
    result = find(models.zoo.load("digits-mixture"), 6, (1, 8, 8), effort="quick", precision=0.1)
    assert result.ratio_interval.high < 0.5
    assert result.cost.search_calls < 60 * 50
    assert {each.metric for each in result.winner.summaries} >= {"typical", "median", "rms", "p95", "switch"}
    for each in (*result.winner.summaries, *result.baseline.summaries):
        assert each.interval.low <= each.value <= each.interval.high
    between = result.ratio_interval
    assert between.high - between.low <= 0.2
    assert 0 < (result.out_of_span or 0) < 1


def test_a_model_without_gradient_gets_all_but_the_polish(blobs: models.GaussianMixture) -> None:
    """At standard effort its best cross-fitted schedule is published, and the polish says why there is none."""
    opaque, trials = models.from_callable(torch.no_grad()(blobs), blobs.process, prediction="data"), list[Trial]()
    result = find(opaque, 4, (4,), effort="standard", on=Callbacks(trial=trials.append))
    assert result.winner.name == "cross-fit"
    assert result.ratio < 0.9
    assert (trials[-1].reason or "").startswith("not polished: it has no gradient")


@pytest.mark.parametrize("stop_after", [2, 6, 11])
def test_a_standard_search_that_broke_off_ends_as_it_would_have(
    inline: InlinePool, blobs: models.GaussianMixture, stop_after: int
) -> None:
    """Cross-fitted trials and polishes are recorded like others, and not made twice."""
    problem, trials = Problem("blobs", 4, effort="standard"), list[Trial]()
    straight = run(problem, blobs.process, inline, by_replay, on=Callbacks(trial=trials.append))
    new = list[Trial]()
    log, on = TrialLog(trials[:stop_after]), Callbacks(trial=new.append)
    assert timeless(run(problem, blobs.process, inline, by_replay, log=log, on=on)) == timeless(straight)
    assert new == trials[stop_after:]


def test_a_teacher_is_paid_for_once(blobs: models.GaussianMixture, tmp_path: Path) -> None:
    """The next search of the model, with other calls, finds what the first one's teacher did and makes none of it; the
    first, run again, counts its own. Baselines share their first output, and cross-fitted times theirs, whatever the
    teacher."""
    found = [find(blobs, nfe, (4,), effort="quick", cache=tmp_path, identity="blobs") for nfe in (3, 4, 3)]
    alone = find(blobs, 4, (4,), effort="quick")
    first, second, again = (each.cost for each in found)
    taught = 16 * 49 + 32 * 48 + 8 * 96
    reports = (next(stage for stage in cost.stages if stage.label == "cross-fit") for cost in (first, second))
    crossed = [report.evaluations for report in reports]
    common, others = (2 * 16 + (count - 1) * 2 * 16 for count in crossed)
    assert [each.shared_calls for each in (first, second, again)] == [common, taught + others, common]
    assert (again.calls, second.calls + taught) == (first.calls, alone.calls)
    assert timeless(found[1]) == timeless(alone)
    with pytest.raises(InvalidInput, match="give its identity"):
        find(blobs, 3, (4,), effort="quick", cache=tmp_path)


def test_a_limit_that_cannot_be_met_is_refused_with_the_smallest_that_can(blobs: models.GaussianMixture) -> None:
    """By the card before anything begins, and by the search; with that limit it runs."""
    least = cost_card(Problem("blobs", 4, effort="quick")).smallest_limit
    refused = Problem("blobs", 4, effort="quick", limits=Limits(calls=least - 1))
    with pytest.raises(InvalidInput, match=f"{least:,} network calls"):
        cost_card(refused)
    with pytest.raises(SearchFailed, match=f"{least:,} network calls"):
        find(blobs, 4, (4,), effort="quick", limits=Limits(calls=least - 1))
    cost = find(blobs, 4, (4,), effort="quick", limits=Limits(calls=least)).cost
    assert cost.search_calls + cost.shared_calls == least


def test_a_cross_fit_measures_each_half_under_the_rows_of_the_other(inline: InlinePool) -> None:
    """Its observations are those of fits on every other noise, and its rows their mean."""
    evaluator = inline._evaluator
    noises = NoiseSet(3, SEARCH, 16)
    schedules = [solvers.named(name).schedule(evaluator.denoiser.process, 4) for name in ("dpmpp-2m", "dpmpp-3m")]
    followed = evaluate.follow(evaluator, noises)
    results, saved = cross_fit(evaluator, noises, followed, schedules, RMS)
    assert saved == 2 * 16  # the first outputs of the second schedule, in its fits and in what is measured
    for schedule, result in zip(schedules, results, strict=True):
        even, odd = (
            fit(evaluator, noises, followed, schedule, robust=True, picks=range(k, 16, 2)).schedule for k in (0, 1)
        )
        for rows, others in ((even, slice(1, None, 2)), (odd, slice(0, None, 2))):
            expected = evaluate.measure(evaluator, noises, rows)[others]
            np.testing.assert_allclose(result.observations[others, 0], expected, rtol=1e-3)
        mean = (fewstep.compile(even).outputs + fewstep.compile(odd).outputs) / 2
        np.testing.assert_allclose(fewstep.compile(result.schedule).outputs, mean, rtol=1e-5, atol=1e-6)


def test_a_robust_fit_is_not_steered_by_noises_that_end_elsewhere() -> None:
    """On digits, where a few do, its typical error on unseen noises is lower by a tenth at least than a plain fit's."""
    evaluator = Evaluator(models.zoo.load("digits-mixture"), (1, 8, 8))
    process, unseen = evaluator.denoiser.process, NoiseSet(0, TEST, 128)
    schedule = solvers.named("dpmpp-3m").schedule(process, 6, "quadratic")
    noises = NoiseSet(0, SEARCH, 48)
    followed = evaluate.follow(evaluator, noises)
    robust, plain = (
        Typical().value(evaluate.measure(evaluator, unseen, each.schedule)[:, None])
        for each in (fit(evaluator, noises, followed, schedule, robust=robust) for robust in (True, False))
    )
    assert robust < 0.9 * plain


def test_the_guard_keeps_what_is_worse_from_being_published() -> None:
    """Significantly worse by the objective or by the typical error is refused, by another metric it is a warning; what
    differs by chance passes, and what diverges does not."""
    rng = np.random.default_rng(0)
    errors = np.exp(rng.normal(size=(200, 1)))
    tail = np.where(np.arange(200)[:, None] % 20 == 0, 400.0, 0.5) * errors
    metrics = {TYPICAL: Typical(), RMS: evaluate.metrics.of(RMS)}

    def judged(winner: np.ndarray, objective: Objective = TYPICAL) -> tuple[bool, tuple[str, ...]]:
        both = (dict.fromkeys(metrics, values) for values in (winner, errors))
        verdict, warnings = guard(*both, metrics, objective)
        return verdict is None, warnings

    assert judged(0.5 * errors) == (True, ())
    assert judged(errors * np.exp(0.02 * rng.normal(size=(200, 1)))) == (True, ())
    assert judged(1.5 * errors) == (False, ("rms",))
    assert judged(tail) == (True, ("rms",))
    assert judged(tail, RMS)[0] is False
    assert judged(np.full((200, 1), np.inf))[0] is False


def test_nothing_better_is_said_where_the_best_candidate_is_worse(blobs: models.GaussianMixture) -> None:
    """A stage whose candidate has a flattering score is found out on the test noises: the baseline is published."""
    poor = solvers.named("ddim").schedule(blobs.process, 3, "time").canonical()

    def flatter(state: SearchState) -> Iterator[Batch]:
        observations = np.full((state.problem.noises, 1), 1e-12)
        yield Batch.of([Observed(Candidate(poor, Origin("flattery")), observations, 0)], early_stopping=False)

    stages = [STAGES["baselines"], Stage("flattery", "flattery", "#000000", flatter, lambda state, left: Share(0, 0))]
    result = find(blobs, 3, (4,), effort="quick", stages=stages)
    assert result.verdict == "nothing better was found: the best candidate is worse by mean and typical"
    assert result.winner == result.baseline
    assert (result.ratio, result.ratio_interval.low, result.ratio_interval.high) == (1.0, 1.0, 1.0)


def test_out_of_span_is_the_distance_to_the_span_of_a_path() -> None:
    """Of an isotropic Gaussian the target is in the span of (y_0, D_0) but for rounding; of a mixture it is not."""
    process, noises = processes.VPLinear(), NoiseSet(0, TEST, 20)
    round_one = Evaluator(models.Gaussian(process, torch.ones(4), 0.3 * torch.eye(4)), (4,))
    schedule = solvers.named("ddim").schedule(process, 2)
    assert (out_of_span(round_one, noises, 20, schedule) or 0) < 1e-3
    mixture = Evaluator(models.zoo.load("digits-mixture"), (1, 8, 8))
    shares = [
        out_of_span(mixture, noises, 8, solvers.named("ddim").schedule(mixture.denoiser.process, calls))
        for calls in (2, 8)
    ]
    assert all(share is not None and 0.05 < share < 1 for share in shares)
    assert out_of_span(mixture, noises, 8, solvers.named("ddpm").schedule(mixture.denoiser.process, 3)) is None
