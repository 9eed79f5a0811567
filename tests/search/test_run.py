"""Whole searches on a small model: the same with any history, honest about failures and costs."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch

from fewstep import Schedule, grids, models
from fewstep.errors import FewstepError, SearchFailed
from fewstep.search.engine import run
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation import teacher
from fewstep.search.evaluation.batches import observe_all
from fewstep.search.evaluation.evaluator import Evaluator
from fewstep.search.evaluation.noises import SEARCH, TEST, VALIDATION, NoiseSet
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.log import Callbacks, TrialLog
from fewstep.search.metrics.paired import Mean
from fewstep.search.samplers.ranking import by_replay
from fewstep.search.stages.baselines import baselines
from fewstep.trajectory import Trajectories
from fewstep.values.forecast import Forecasts
from fewstep.values.problem import Problem
from fewstep.values.result import Result
from fewstep.values.stages import STAGES
from fewstep.values.trial import Rank, Trial
from tests.search.timeless import timeless

PROBLEM = Problem("blobs", nfe=4, budget=70, noises=16)


class Interrupted(Exception):
    """Stands for a crash."""


@dataclass
class Watched:
    """A whole search and what was seen of it: trials, progress, samples through the network forward and backward, and
    the role of the noises of every measurement with the phase that it was made in."""

    result: Result | None = None
    trials: list[Trial] = field(default_factory=list)
    progress: list[tuple[str, int, int]] = field(default_factory=list)
    calls: int = 0
    measured: list[tuple[str, str]] = field(default_factory=list)

    def count(self, samples: torch.Tensor) -> None:
        self.calls += len(samples)


def search(pool: InlinePool, blobs: models.GaussianMixture, **options: Any) -> tuple[Result, list[Trial]]:
    trials: list[Trial] = []
    result = run(PROBLEM, blobs.process, pool, by_replay, on=Callbacks(trial=trials.append), **options)
    return result, trials


@pytest.fixture(scope="module")
def watched(blobs: models.GaussianMixture) -> Watched:
    """The search with everything watched."""
    watched = Watched()

    def call(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        watched.count(x)
        output = blobs(x, t)
        if output.requires_grad:
            output.register_hook(watched.count)
        return output

    class Watching(InlinePool):
        def submit(self, function: Any, *args: Any, **kwargs: Any) -> Any:
            if function in (evaluate.observe, observe_all):
                watched.measured.append((args[0].role, watched.progress[-1][0]))
            return super().submit(function, *args, **kwargs)

    pool = Watching(Evaluator(models.from_callable(call, blobs.process, prediction="data"), (4,)))
    on = Callbacks(trial=watched.trials.append, progress=lambda *told: watched.progress.append(told))
    watched.result = run(PROBLEM, blobs.process, pool, by_replay, on=on)
    return watched


@pytest.fixture(scope="module")
def straight(inline: InlinePool, blobs: models.GaussianMixture) -> tuple[Result, list[Trial]]:
    """What the search publishes and records where nothing gets in its way."""
    return search(inline, blobs)


def number(trial: Trial) -> int:
    return trial.number


def same(first: Result, second: Result) -> bool:
    return timeless(first) == timeless(second)


def test_a_search_is_reproducible(watched: Watched, straight: tuple[Result, list[Trial]]) -> None:
    """Two runs of one problem record the same trials and publish the same result; to be watched changes nothing."""
    result, trials = straight
    assert sorted(trials, key=number) == sorted(watched.trials, key=number)
    assert watched.result is not None
    assert same(result, watched.result)


@pytest.mark.parametrize("stop_after", [30, 43])
def test_an_interrupted_search_goes_on_from_its_trials(
    inline: InlinePool, blobs: models.GaussianMixture, straight: tuple[Result, list[Trial]], stop_after: int
) -> None:
    """Broken off after any number of trials and started again with them, a search ends as it would have, evaluating
    nothing twice."""
    result, trials = straight
    seen: list[Trial] = []

    def record(trial: Trial) -> None:
        if len(seen) == stop_after:
            raise Interrupted
        seen.append(trial)

    with pytest.raises(Interrupted):
        run(PROBLEM, blobs.process, inline, by_replay, on=Callbacks(trial=record))
    resumed, rest = search(inline, blobs, log=TrialLog(seen))
    assert same(resumed, result)
    assert sorted(t.number for t in seen + rest) == list(range(PROBLEM.budget))
    assert {t.number: t for t in seen + rest} == {t.number: t for t in trials}


def test_the_result_is_measured_on_held_out_noises(
    blobs: models.GaussianMixture, straight: tuple[Result, list[Trial]]
) -> None:
    """The published scores are those of the published schedules on noises of the held-out role, paired."""
    result, _ = straight
    evaluator, noises = Evaluator(blobs, (4,)), NoiseSet(PROBLEM.seed, TEST, 128)
    found, baseline = (
        Mean().value(evaluate.measure(evaluator, noises, s)[:, None])
        for s in (result.schedule, result.baseline.schedule)
    )
    assert (result.score.value, result.baseline.value) == pytest.approx((found, baseline), rel=1e-4)
    assert result.ratio == pytest.approx(found / baseline, rel=1e-4)
    assert result.ratio_interval.low <= result.ratio <= result.ratio_interval.high
    assert result.ratio < 0.75
    assert baselines(blobs.process, 4)[result.baseline_name].canonical() == result.baseline.schedule


def test_every_network_call_is_counted(watched: Watched) -> None:
    """``calls`` is what a counting denoiser saw, forward and backward."""
    assert watched.result is not None
    assert watched.result.calls == watched.calls


def test_no_call_is_spent_on_noises_of_another_role(watched: Watched) -> None:
    """Trials are measured on search noises only; validation and test noises wait for the end."""
    roles = [role for role, _ in watched.measured]
    first = roles.index(VALIDATION)
    assert set(roles[:first]) == {SEARCH}
    assert set(roles[first:]) == {VALIDATION, TEST}
    assert all(phase == "confirm" for _, phase in watched.measured[first:])


def test_diverging_trials_are_recorded_with_their_reason(blobs: models.GaussianMixture) -> None:
    """A trial whose samples are not finite has no score but says so; the search goes on."""

    def fragile(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        bad = [float(time) in poisoned for time in t.detach()]
        return torch.where(torch.tensor(bad)[:, None], torch.full_like(x, torch.nan), blobs(x, t))

    poisoned = {float(np.float32(t)) for t in baselines(blobs.process, 4)["ddim time"].times[1:-1]}
    pool = InlinePool(Evaluator(models.from_callable(fragile, blobs.process, prediction="data"), (4,)))
    trials: list[Trial] = []
    problem, on = replace(PROBLEM, budget=24), Callbacks(trial=trials.append)
    run(problem, blobs.process, pool, by_replay, on=on, stages=[STAGES["baselines"], STAGES["guided"]])
    failed = [trial for trial in trials if trial.score is None]
    assert 0 < len(failed) < len(trials) == 24
    assert all("diverged on 16 of 16 noises" in (trial.reason or "") for trial in failed)


def test_a_search_without_a_single_score_fails(blobs: models.GaussianMixture) -> None:
    """Where every trial diverges at times that the teacher does not visit, the search says so and publishes nothing."""

    def broken(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return blobs(x, t) if float(t[0].detach()) in taught else torch.full_like(x, torch.nan)

    paths = (teacher.schedule(blobs.process, calls) for calls in (teacher.CALLS, 2 * teacher.CALLS))
    taught = {float(np.float32(time)) for path in paths for time in path.times}
    pool = InlinePool(Evaluator(models.from_callable(broken, blobs.process, prediction="data"), (4,)))
    with pytest.raises(SearchFailed, match=r"none of .* could be evaluated.*diverged"):
        run(replace(PROBLEM, nfe=5), blobs.process, pool, by_replay)


def test_a_model_that_gives_nothing_finite_is_refused(blobs: models.GaussianMixture) -> None:
    """Where even the teacher's samples are not finite, the search says so."""
    nan = models.from_callable(lambda x, t: torch.full_like(x, torch.nan), blobs.process)
    with pytest.raises(SearchFailed, match="not finite: check its weights"):
        search(InlinePool(Evaluator(nan, (4,))), blobs)


def test_a_model_that_raises_ends_the_search_with_its_error(blobs: models.GaussianMixture) -> None:
    """The model's own error reaches the caller."""

    def refuse(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        raise FewstepError("out of order")

    pool = InlinePool(Evaluator(models.from_callable(refuse, blobs.process), (4,)))
    with pytest.raises(FewstepError, match="out of order"):
        search(pool, blobs)


@pytest.mark.parametrize("nfe", [1, 2])
def test_the_fewest_calls_can_be_searched(inline: InlinePool, blobs: models.GaussianMixture, nfe: int) -> None:
    """One and two calls are legal problems, and no worse than the best hand-made solver."""
    result = run(Problem("blobs", nfe, budget=24, noises=16), blobs.process, inline, by_replay)
    assert result.schedule.nfe == nfe
    assert result.ratio <= 1.0


def test_progress_names_every_phase_and_never_falls(watched: Watched) -> None:
    """Phases come in order, counts rise, and teacher, trials and confirmation end with done = total."""
    told = watched.progress
    assert list(dict.fromkeys(phase for phase, _, _ in told)) == ["teacher", "search", "fit", "polish", "confirm"]
    for name in ("teacher", "fit", "confirm"):
        *_, (_, done, total) = (item for item in told if item[0] == name)
        assert done == total
    counts = [done for phase, done, _ in told if phase in ("search", "fit")]
    assert counts == sorted(counts)


def test_hand_made_solvers_teach_which_ones_to_try_next(inline: InlinePool, blobs: models.GaussianMixture) -> None:
    """A ranker that only knows the grid that did best so far has its solvers tried in the second generation."""
    known: list[int] = []

    def by_grid(trajectories: Trajectories) -> Rank:
        def rank(trials: Sequence[Trial], candidates: Sequence[Schedule]) -> Forecasts:
            known.append(len(trials))
            best = min((t for t in trials if t.score), key=lambda t: t.score.value, default=None)
            near = [best is not None and c.times == best.schedule.times for c in candidates]
            return Forecasts(-np.array(near, dtype=float), np.ones(len(candidates)))

        return rank

    trials: list[Trial] = []
    problem, on = replace(PROBLEM, budget=44), Callbacks(trial=trials.append)
    run(problem, blobs.process, inline, by_grid, on=on, stages=[STAGES["baselines"]])
    assert known[:3] == [0, 8, 16]
    best = min((t for t in trials[:8] if t.score), key=lambda t: t.score.value if t.score else 0.0)
    others = {t.schedule.times for t in trials[8:16]}
    assert others == {best.schedule.times}


@pytest.mark.parametrize(("budget", "seeds"), [(2000, None), (50, 21), (20, 7), (1, 1)])
def test_hand_made_schedules_take_at_most_half_of_the_trials(
    inline: InlinePool, blobs: models.GaussianMixture, budget: int, seeds: int | None
) -> None:
    """A small budget begins with the likeliest on every grid; a large one tries all, and none twice."""
    trials: list[Trial] = []

    def record(trial: Trial) -> None:
        if trial.origin.stage != "baselines":
            raise Interrupted
        trials.append(trial)

    everything = {name: schedule.canonical() for name, schedule in baselines(blobs.process, 4).items()}
    assert len(everything) > 21
    try:
        run(replace(PROBLEM, budget=budget), blobs.process, inline, by_replay, on=Callbacks(trial=record))
    except Interrupted:
        assert budget > 1
    assert len({trial.origin for trial in trials}) == len(trials) == (seeds or len(everything))
    rank = by_replay(teacher.follow(blobs, NoiseSet(PROBLEM.seed, SEARCH, 24).draw((4,))))
    likely = sorted(everything, key=lambda name: rank([], [everything[name]]).mean[0])
    leaders = [next(name for name in likely if name.split()[1] == grid) for grid in grids.EVEN]
    begun = {trial.origin.name for trial in trials[:8]}
    assert begun >= set(leaders) or budget == 1
    assert likely[0] in begun
