"""Races: a proposal that loses on the first noises costs no more than these."""

from dataclasses import replace

import numpy as np
import pytest

from fewstep import Schedule, models, solvers
from fewstep.errors import SearchFailed
from fewstep.search.engine import LATE, run
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.evaluation.racing import Race, best_of, loses
from fewstep.search.metrics import endpoint, named
from fewstep.search.metrics.reference import from_rows
from fewstep.search.samplers import operators as proposals
from fewstep.search.samplers.ranking import by_replay
from fewstep.search.samplers.study import Proposal
from fewstep.search.space import Space
from fewstep.search.stages.baselines import BY_HAND
from fewstep.search.stages.teacher import Sets
from fewstep.values.limits import Limits
from fewstep.values.problem import Problem
from fewstep.values.trial import Trial

PROBLEM = Problem("blobs", nfe=4, budget=70, noises=64)
ENDPOINT = named("endpoint")


def race(pool: InlinePool, problem: Problem = PROBLEM, **given: object) -> Race:
    told: dict = {"record": lambda trial: None, "recorded": (), "told": lambda *_: None} | given
    return Race(pool, problem, Sets.of(problem).search, ENDPOINT, **told)


def drawn(blobs: models.GaussianMixture, count: int) -> list[Proposal]:
    space, rng = Space(blobs.process, PROBLEM.nfe), np.random.default_rng(3)
    return [Proposal(i, proposals.uniform(space, rng), "uniform") for i in range(count)]


def good(blobs: models.GaussianMixture) -> Schedule:
    return solvers.named("unipc-2-bh2").schedule(blobs.process, PROBLEM.nfe, "quadratic").canonical()


def test_who_is_no_worse_never_loses() -> None:
    """Neither a twin nor a better one loses, whatever the test says."""
    rows = np.random.default_rng(0).exponential(size=(32, 1))
    assert not loses(ENDPOINT, rows, rows)
    assert not loses(ENDPOINT, 0.9 * rows, rows)
    assert loses(ENDPOINT, 1.5 * rows, rows)


def test_equals_seldom_lose() -> None:
    """Of two that are equally good, each unlike the other on single noises, one in twenty at most loses, to chance."""
    rng = np.random.default_rng(1)
    lost = sum(loses(ENDPOINT, rng.lognormal(0, 2, (32, 1)), rng.lognormal(0, 2, (32, 1))) for _ in range(400))
    assert lost <= 30


def test_distances_race_by_paired_resamples() -> None:
    """A sample that is far from the reference loses to one that is near; two draws of the same law do not."""
    rng = np.random.default_rng(2)
    metric, near = named("frechet", from_rows(rng.normal(size=(500, 3)))), rng.normal(size=(64, 3))
    assert loses(metric, near + 2.0, near)
    assert not loses(metric, near[::-1], near)


def test_losers_cost_the_first_piece_only(inline: InlinePool, blobs: models.GaussianMixture) -> None:
    """Against a good rival most uniform proposals are given up on a quarter of the noises; all calls are counted."""
    first, rest = Sets.of(PROBLEM).search
    assert (first.count, rest.count) == (16, 48)
    racing = race(inline)
    (rival,) = racing([Proposal(100, good(blobs), "baseline")], "search")
    assert rival.score is not None
    assert (rival.score.noises, rival.score.calls) == (64, 64 * 4)
    trials = racing(drawn(blobs, 20), "search", rival)
    noises = [trial.score.noises for trial in trials if trial.score is not None]
    assert set(noises) == {16, 64}
    assert noises.count(16) >= 10
    assert racing.calls == 64 * 4 + sum(noises) * 4 + 64 * 4 * (20 - len(noises))


def test_the_score_of_a_loser_is_that_of_its_noises(inline: InlinePool, blobs: models.GaussianMixture) -> None:
    """Nothing is made up: value, number of noises and calls are those of the first piece."""
    racing, first = race(inline), Sets.of(PROBLEM).search[0]
    (rival,) = racing([Proposal(100, good(blobs), "baseline")], "search")
    lost = [t for t in racing(drawn(blobs, 10), "search", rival) if t.score is not None and t.score.noises == 16]
    for trial in lost:
        errors = evaluate.measure(Evaluator(blobs, (4,)), first, trial.schedule)
        assert trial.score == endpoint.score(errors, calls=16 * 4)
    assert best_of([rival, *lost], 64) == rival


def test_a_race_taken_up_again_gives_the_same_trials(inline: InlinePool, blobs: models.GaussianMixture) -> None:
    """With the rival from the record, whose rows are gone, the others come out as they would have."""
    racing = race(inline)
    (rival,) = racing([Proposal(100, good(blobs), "baseline")], "search")
    straight = racing(drawn(blobs, 10), "search", rival)
    again = race(inline, recorded=[rival, *straight[:4]])
    assert again(drawn(blobs, 10), "search", rival) == straight
    assert again.calls == racing.calls - 64 * 4


def test_without_a_rival_they_race_against_the_best_of_them(inline: InlinePool, blobs: models.GaussianMixture) -> None:
    """The one of lowest error on the first piece meets all noises, those that lose to it do not; the same when taken up
    again; without ``among`` all meet all."""
    first, wanted = Sets.of(PROBLEM).search[0], drawn(blobs, 12)
    straight = race(inline)(wanted, "search", among=True)
    scores = [trial.score for trial in straight if trial.score]
    assert {score.noises for score in scores} == {16, 64}
    errors = {p.number: evaluate.measure(Evaluator(blobs, (4,)), first, p.schedule).mean() for p in wanted}
    leader = straight[min(errors, key=lambda k: np.nan_to_num(errors[k], nan=np.inf))].score
    assert leader is not None
    assert leader.noises == 64
    for known in (straight[:5], straight[5:]):
        again = race(inline, recorded=known)
        assert again(wanted, "search", among=True) == straight
    assert all(trial.score.noises == 64 for trial in race(inline)(wanted, "fit") if trial.score)


def test_too_many_failures_end_the_search(blobs: models.GaussianMixture) -> None:
    """One failure more than allowed, and the search says how many, how many may, and why the last one failed."""
    bad = models.from_callable(lambda x, t: x * np.nan, blobs.process, prediction="data")
    evaluator = Evaluator(bad, (4,))
    for piece in Sets.of(PROBLEM).search:
        ends = evaluate.teach(Evaluator(blobs, (4,)), piece, evaluate.teacher.CALLS)
        evaluator.keep_ends(piece, evaluate.teacher.CALLS, lambda ends=ends: evaluate.torch.from_numpy(ends))
    problem = replace(PROBLEM, limits=Limits(failures=2))
    kept: list[Trial] = []
    with pytest.raises(SearchFailed, match="3 of 3 trials failed, and 2 may; the last one: diverged on 64 of 64"):
        race(InlinePool(evaluator), problem, record=kept.append)(drawn(blobs, 5), "search")
    assert len(kept) == 3


def test_racing_spares_calls_and_finds_better_ones(inline: InlinePool, blobs: models.GaussianMixture) -> None:
    """The same search without races spends more on its trials; with them the best is still ahead of all hand-made."""
    spent: dict[bool, int] = {}
    for racing in (False, True):
        trials: list[Trial] = []
        run(PROBLEM, blobs.process, inline, by_replay, record=trials.append, racing=racing)
        spent[racing] = sum(trial.score.calls for trial in trials if trial.score)
    assert spent[True] < 0.75 * spent[False]
    by_hand = best_of([t for t in trials if str(t.origin).startswith(BY_HAND)], PROBLEM.noises)
    found = best_of([t for t in trials if str(t.origin).split()[0] not in LATE], PROBLEM.noises)
    assert found.score.value < 0.95 * by_hand.score.value
