"""Early stopping: a candidate that is significantly worse on the first noises costs no more than these."""

from dataclasses import replace

import numpy as np
import pytest

from fewstep import models, solvers
from fewstep.errors import SearchFailed
from fewstep.search.engine import run
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation.early_stopping import Evaluation, worse
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import NoiseSplit
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.log import Callbacks, TrialLog
from fewstep.search.metrics.bootstrap import score
from fewstep.search.metrics.features import pixels
from fewstep.search.metrics.frechet import Frechet
from fewstep.search.metrics.paired import RMS
from fewstep.search.metrics.reference import from_rows
from fewstep.search.samplers import operators as proposals
from fewstep.search.samplers.ranking import by_replay
from fewstep.search.space import Space
from fewstep.values.limits import Limits
from fewstep.values.origin import Origin
from fewstep.values.problem import Problem
from fewstep.values.stages import STAGES
from fewstep.values.trial import Candidate, Trial

PROBLEM = Problem("blobs", nfe=4, budget=70, noises=64)
ENDPOINT = RMS()


def evaluation(pool: InlinePool, problem: Problem = PROBLEM, **options: object) -> Evaluation:
    return Evaluation(pool, problem, NoiseSplit.of(problem).search, ENDPOINT, **options)


def uniform(blobs: models.GaussianMixture, count: int) -> list[Candidate]:
    space, rng = Space(blobs.process, PROBLEM.nfe), np.random.default_rng(3)
    return [Candidate(proposals.uniform(space, rng), Origin("guided", "uniform")) for _ in range(count)]


def good(blobs: models.GaussianMixture) -> Candidate:
    schedule = solvers.named("unipc-2-bh2").schedule(blobs.process, PROBLEM.nfe, "quadratic").canonical()
    return Candidate(schedule, Origin("baselines", "unipc-2-bh2 quadratic"))


def test_who_is_no_worse_is_never_stopped() -> None:
    """Neither a twin nor a better one, whatever the test says."""
    rows = np.random.default_rng(0).exponential(size=(32, 1))
    assert not worse(ENDPOINT, rows, rows)
    assert not worse(ENDPOINT, 0.9 * rows, rows)
    assert worse(ENDPOINT, 1.5 * rows, rows)


def test_equals_are_seldom_stopped() -> None:
    """Of two that are equally good, each unlike the other on single noises, one in twenty at most is, to chance."""
    rng = np.random.default_rng(1)
    stopped = sum(worse(ENDPOINT, rng.lognormal(0, 2, (32, 1)), rng.lognormal(0, 2, (32, 1))) for _ in range(400))
    assert stopped <= 30


def test_distances_are_compared_in_pairs() -> None:
    """A sample that is far from the reference is worse than one that is near; two draws of the same law are not."""
    rng = np.random.default_rng(2)
    known, near = rng.normal(size=(500, 3)), rng.normal(size=(64, 3))
    metric = Frechet(pixels, lambda: from_rows(known))
    assert worse(metric, near + 2.0, near)
    assert not worse(metric, near[::-1], near)


def test_stopped_trials_cost_the_first_piece_only(inline: InlinePool, blobs: models.GaussianMixture) -> None:
    """Against a good incumbent most uniform proposals are stopped on a quarter of the noises; all calls are counted."""
    first, rest = NoiseSplit.of(PROBLEM).search
    assert (first.count, rest.count) == (16, 48)
    evaluate_all = evaluation(inline)
    (incumbent,) = evaluate_all([good(blobs)], 100)
    assert incumbent.score is not None
    assert (incumbent.score.noises, incumbent.score.calls) == (64, 64 * 4)
    trials = evaluate_all(uniform(blobs, 20), 0, incumbent=incumbent)
    noises = [trial.score.noises for trial in trials if trial.score is not None]
    assert set(noises) == {16, 64}
    assert noises.count(16) >= 10
    assert evaluate_all.calls == 64 * 4 + sum(noises) * 4 + 64 * 4 * (20 - len(noises))


def test_the_score_of_a_stopped_trial_is_that_of_its_noises(inline: InlinePool, blobs: models.GaussianMixture) -> None:
    """Nothing is made up: value, number of noises and calls are those of the first piece."""
    evaluate_all, first = evaluation(inline), NoiseSplit.of(PROBLEM).search[0]
    (incumbent,) = evaluate_all([good(blobs)], 100)
    trials = evaluate_all(uniform(blobs, 10), 0, incumbent=incumbent)
    stopped = [trial for trial in trials if trial.score is not None and trial.score.noises == 16]
    assert stopped
    for trial in stopped:
        errors = evaluate.measure(Evaluator(blobs, (4,)), first, trial.schedule)
        assert trial.score == score(ENDPOINT, errors[:, None], calls=16 * 4)


def test_taken_up_again_trials_come_out_the_same(inline: InlinePool, blobs: models.GaussianMixture) -> None:
    """With the incumbent from the log, whose observations are gone, the others come out as they would have."""
    evaluate_all = evaluation(inline)
    (incumbent,) = evaluate_all([good(blobs)], 100)
    straight = evaluate_all(uniform(blobs, 10), 0, incumbent=incumbent)
    again = evaluation(inline, log=TrialLog([incumbent, *straight[:4]]))
    assert again(uniform(blobs, 10), 0, incumbent=incumbent) == straight
    assert again.calls == evaluate_all.calls - 64 * 4


def test_without_an_incumbent_the_best_of_them_stands_in(inline: InlinePool, blobs: models.GaussianMixture) -> None:
    """The one of lowest error on the first piece meets all noises, those that are worse do not; the same when taken up
    again; without early stopping all meet all."""
    first, candidates = NoiseSplit.of(PROBLEM).search[0], uniform(blobs, 12)
    straight = evaluation(inline)(candidates, 0)
    scores = [trial.score for trial in straight if trial.score]
    assert {score.noises for score in scores} == {16, 64}
    errors = [evaluate.measure(Evaluator(blobs, (4,)), first, each.schedule).mean() for each in candidates]
    leader = straight[int(np.argmin(np.nan_to_num(errors, nan=np.inf)))].score
    assert leader is not None
    assert leader.noises == 64
    for known in (straight[:5], straight[5:]):
        again = evaluation(inline, log=TrialLog(known))
        assert again(candidates, 0) == straight
    whole = evaluation(inline)(candidates, 0, early_stopping=False)
    assert all(trial.score.noises == 64 for trial in whole if trial.score)


def test_too_many_failures_end_the_search(blobs: models.GaussianMixture) -> None:
    """One failure more than allowed, and the search says how many, how many may, and why the last one failed."""
    bad = models.from_callable(lambda x, t: x * np.nan, blobs.process, prediction="data")
    evaluator = Evaluator(bad, (4,))
    for piece in NoiseSplit.of(PROBLEM).search:
        ends = evaluate.teach(Evaluator(blobs, (4,)), piece, evaluate.teacher.CALLS)
        evaluator.keep_targets(piece, evaluate.teacher.CALLS, lambda ends=ends: evaluate.torch.from_numpy(ends))
    problem = replace(PROBLEM, limits=Limits(failures=2))
    kept: list[Trial] = []
    with pytest.raises(SearchFailed, match="3 of 3 trials failed, and 2 may; the last one: diverged on 64 of 64"):
        evaluation(InlinePool(evaluator), problem, on=Callbacks(trial=kept.append))(uniform(blobs, 5), 0)
    assert len(kept) == 3


def test_early_stopping_spares_calls_and_finds_better_ones(inline: InlinePool, blobs: models.GaussianMixture) -> None:
    """The same search without it spends more on its trials; with it the best is still ahead of all baselines."""
    spent: dict[bool, int] = {}
    for stopping in (False, True):
        trials: list[Trial] = []
        on, stages = Callbacks(trial=trials.append), [STAGES["baselines"], STAGES["guided"]]
        run(PROBLEM, blobs.process, inline, by_replay, on=on, stages=stages, early_stopping=stopping)
        spent[stopping] = sum(trial.score.calls for trial in trials if trial.score)
    assert spent[True] < 0.75 * spent[False]
    whole = [trial for trial in trials if trial.score and trial.score.noises == PROBLEM.noises]
    baseline = min(t.score.value for t in whole if t.origin.stage == "baselines")
    best = min(t.score.value for t in whole)
    assert best < 0.95 * baseline
