"""A bound of passes: the probe of a model's guidance, replay without it, and what a bounded search finds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch

import fewstep
from fewstep import models, processes, solvers
from fewstep.errors import InvalidInput, SearchFailed
from fewstep.sampling.guidance import passes_per_sample
from fewstep.search.engine import run
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation import guidance, teacher
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import TEST, NoiseSet
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.find import find
from fewstep.search.log import Callbacks, TrialLog
from fewstep.search.metrics.paired import Mean
from fewstep.search.optimize import replay
from fewstep.search.optimize.fit import fit
from fewstep.search.samplers.ranking import by_replay
from fewstep.search.space import Space
from fewstep.search.stages.guidance import _patterns, _swaps
from fewstep.search.stages.warm_start import split
from fewstep.values.problem import Problem
from fewstep.values.trial import Trial

LAW = processes.VPLinear()
SEARCH = NoiseSet(0, "search", 16)


def gaussian(*means: float) -> models.GaussianMixture:
    """Blobs in two dimensions around (±m, m)."""
    centres = torch.tensor([[mean * side, mean] for mean in means for side in (-1.0, 1.0)], dtype=torch.float64)
    weights = torch.full((len(centres),), 1 / len(centres), dtype=torch.float64)
    return models.GaussianMixture(LAW, weights, centres, 0.05 * torch.eye(2).expand(len(centres), 2, 2))


POSITIVE, NEGATIVE = gaussian(0.8), gaussian(0.8, -0.8)


@dataclass(frozen=True)
class Blobs:
    """Exact denoisers with and without a condition, guided as networks are: one pass at scale 1 unless ``embedded``."""

    scale: float = 2.5
    embedded: bool = False

    process = LAW
    conditions = 0

    @property
    def passes(self) -> int:
        return 1 if self.embedded or self.scale == 1.0 else 2

    def bound(self, conditions: Sequence[int]) -> "Blobs":
        return self

    def guided(self, scale: float) -> "Blobs":
        return replace(self, scale=scale)

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.lerp(NEGATIVE(x, t), POSITIVE(x, t), self.scale)


def test_the_probe_finds_scale_and_passes() -> None:
    """The scale that the model was opened with, to four digits, from its outputs alone."""
    assert guidance.probe(Evaluator(Blobs(2.5), (2,))) == guidance.Guidance(2.5, 2, 1)
    assert guidance.probe(Evaluator(Blobs(-1.25), (2,))) == guidance.Guidance(-1.25, 2, 1)


@pytest.mark.parametrize("model", [POSITIVE, Blobs(embedded=True), Blobs(1.0)], ids=["none", "embedded", "at-1"])
def test_where_nothing_can_be_saved_there_is_no_guidance(model: models.Denoiser) -> None:
    """No guidance to set, an input of the network, or none at work: a call costs the same without."""
    assert guidance.probe(Evaluator(model, (2,))) is None


def test_unguided_outputs_are_recorded_beside_the_guided_ones() -> None:
    """At the teacher's own states; what is recorded anyway stays what it was."""
    both, paid = guidance.follow_both(Evaluator(Blobs(), (2,)), "me", SEARCH)
    plain = evaluate.follow(Evaluator(Blobs(), (2,)), SEARCH)
    assert paid == guidance.contrast_calls(16) == 2 * 16 * (teacher.CALLS + 1)
    np.testing.assert_array_equal(both.states, plain.states)
    np.testing.assert_array_equal(both.outputs, plain.outputs)
    times = LAW.time(both.log_snrs)
    for k in (0, 20, 48):
        state = torch.from_numpy(both.states[k])
        want = POSITIVE(state, state.new_full((16,), float(times[k])))
        np.testing.assert_allclose(both.unguided[k], want.numpy(), atol=1e-5)
    assert both.first(4).unguided.shape == both.first(4).outputs.shape


def test_replay_blends_the_outputs() -> None:
    """The loss of a pattern is that of least squares on guided and unguided outputs; all guided is the loss without."""
    both = guidance.follow_both(Evaluator(Blobs(), (2,)), "me", NoiseSet(0, "search", 40))[0]
    logits, amounts = np.array([[0.3, -0.2, 0.1]]), np.array([[0.0, 1.5, 1.0]])
    assert replay.loss(both, logits, np.ones((1, 3)))[0] == pytest.approx(replay.loss(both, logits)[0], rel=1e-6)
    shares = np.exp(logits[0]) / np.exp(logits[0]).sum()
    first, last = both.log_snrs[[0, -1]]
    lam = first + (last - first) * np.concatenate([[0.0], np.cumsum(shares)])
    states = both.at(both.states, lam)
    mixed = [
        amount * both.at(both.outputs, level) + (1 - amount) * both.at(both.unguided, level)
        for amount, level in zip(amounts[0], lam[:-1], strict=True)
    ]
    total = 0.0
    for i in range(3):
        given = np.stack([states[0].ravel(), *(mixed[j].ravel() for j in range(i + 1))], axis=1)
        row = np.linalg.lstsq(given, states[i + 1].ravel(), rcond=None)[0]
        total += np.mean((given @ row - states[i + 1].ravel()) ** 2)
    assert replay.loss(both, logits, amounts)[0] == pytest.approx(total, rel=1e-3)
    with pytest.raises(InvalidInput, match="wants trajectories with the outputs without guidance"):
        replay.loss(replace(both, unguided=None), logits, amounts)


def test_a_fit_is_of_the_outputs_at_their_scales() -> None:
    """Rows that are fitted for a pattern make up for a part of the guidance that is left out, and keep the pattern."""
    evaluator = Evaluator(Blobs(), (2,))
    scales = (2.5, 2.5, 2.5, 1.0, 1.0)
    schedule = replace(solvers.named("dpmpp-2m").schedule(LAW, 5), guidance=scales)
    fitted = fit(evaluator, SEARCH, evaluate.follow(evaluator, SEARCH), schedule).schedule
    assert (fitted.guidance, fitted.fitted.guidance.tolist()) == (scales, [*scales])
    before, after = (evaluate.measure(evaluator, SEARCH, each).mean() for each in (schedule, fitted))
    assert after < 0.5 * before


def test_patterns_are_all_or_a_few() -> None:
    """Every choice of guided calls where they are few, else intervals, an even spread and random ones; no doubles."""
    assert {tuple(np.flatnonzero(each)) for each in _patterns(6, 2)} == set(combinations(range(6), 2))
    many = _patterns(24, 12)
    assert len(set(many)) == len(many) <= 256
    assert all(sum(each) == 12 for each in many)
    assert {(1.0,) * 12 + (0.0,) * 12, (1.0, 0.0) * 12} <= set(many)
    assert _patterns(4, 0) == ((0.0,) * 4,)
    assert set(_swaps((1.5, 0.0, 1.5))) == {(0.0, 1.5, 1.5), (1.5, 1.5, 0.0)}


@pytest.mark.parametrize("effort", ["quick", "standard"])
def test_a_bounded_search_keeps_its_bound(effort: str) -> None:
    """Winner within the bound, better than the baseline at all passes; its score is that of its schedule."""
    trials: list[Trial] = []
    result = find(Blobs(), 5, (2,), effort=effort, max_passes=8, on=Callbacks(trial=trials.append))
    passes = passes_per_sample(Blobs(), result.schedule)
    assert (result.winner.passes_per_sample, result.baseline.passes_per_sample) == (passes, 10)
    assert passes <= 8
    assert result.schedule.guidance.count(1.0) >= 2
    assert result.ratio < 1
    held_out = NoiseSet(0, TEST, result.winner.noises)
    errors = evaluate.measure(Evaluator(Blobs(), (2,)), held_out, result.schedule)
    assert result.score.value == pytest.approx(Mean().value(errors[:, None]), rel=1e-6)
    assert {trial.origin.stage for trial in trials} <= {"baselines", "guidance", "polish"}
    assert result.cost.search_calls <= result.problem.limits.calls
    for fewer, more in pairwise(result.front):
        assert fewer.passes < more.passes
        assert fewer.score > more.score


def test_a_bounded_search_goes_on_from_its_trials() -> None:
    """Broken off and run again with the trials that were recorded, it ends with the same schedule."""
    problem, trials = Problem("blobs", 4, effort="quick", max_passes=6), list[Trial]()
    pool = InlinePool(Evaluator(Blobs(), (2,)))
    whole = run(problem, LAW, pool, by_replay, on=Callbacks(trial=trials.append))
    for count in (5, len(trials)):
        again = run(problem, LAW, pool, by_replay, log=TrialLog(trials[:count]))
        assert (again.schedule, again.front) == (whole.schedule, whole.front)


def test_a_bound_that_binds_nothing_changes_nothing() -> None:
    """As many passes as the calls take: the search is the one without a bound."""
    free, bound = (find(Blobs(), 3, (2,), effort="quick", **most) for most in ({}, {"max_passes": 6}))
    assert (free.schedule, free.cost.calls) == (bound.schedule, bound.cost.calls)
    assert free.schedule.guidance is None


def test_bounds_that_cannot_be_kept_are_refused() -> None:
    """Fewer passes than calls, and models that have no guidance to leave out."""
    with pytest.raises(InvalidInput, match="5 calls take 5 passes or more, and max_passes is 4"):
        find(Blobs(), 5, (2,), effort="quick", max_passes=4)

    class Twice(models.Unconditional):
        process, passes = LAW, 2

        def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return POSITIVE(x, t)

    with pytest.raises(SearchFailed, match="takes 10 passes for 5 calls and has no guidance to leave out, and 8 are"):
        find(Twice(), 5, (2,), effort="quick", max_passes=8)
    assert fewstep.compile(find(POSITIVE, 3, (2,), effort="quick", max_passes=3).schedule).guidance is None


def test_a_call_more_has_no_guidance() -> None:
    """The warm start of a guided schedule: the new call is at scale 1, the samples stay what they were."""
    schedule = replace(solvers.named("dpmpp-2m").schedule(LAW, 3), guidance=(2.5, 1.0, 2.0))
    noise = SEARCH.draw((2,)).double()
    longer = split(schedule)
    assert sorted(longer.guidance) == [1.0, 1.0, 2.0, 2.5]
    before, after = (fewstep.sample(Blobs(), each, noise) for each in (schedule, longer))
    torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-9)


def test_no_point_of_the_space_has_guidance() -> None:
    """Genes do not say it: a sampler takes no such schedule for one of its own."""
    space, schedule = Space(LAW, 3), solvers.named("dpmpp-2m").schedule(LAW, 3)
    assert space.holds(schedule)
    assert not space.holds(replace(schedule, guidance=(2.5, 1.0, 2.0)))
