"""Searches with limits that are broken off and taken up again: what was begun is ended, what was cut off stays so."""

import pytest

from fewstep import models
from fewstep.search import budget
from fewstep.search.engine import run
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.log import Callbacks, TrialLog
from fewstep.search.samplers.ranking import by_replay
from fewstep.values.limits import Limits
from fewstep.values.problem import Problem
from fewstep.values.result import Result
from fewstep.values.stages import STAGES
from fewstep.values.trial import Trial
from tests.search.timeless import timeless

BUDGET, SECONDS = 70, 40
LIMITS = {
    "calls": Limits(calls=30_500),
    "seconds": Limits(seconds=SECONDS),
    "improvement": Limits(improvement=1.0),
    "budget": Limits(failures=BUDGET),
}
FITTED = [STAGES[name] for name in ("baselines", "guided", "fit")]
STAGES_OF = {"calls": ()} | dict.fromkeys(("seconds", "improvement", "budget"), FITTED)  # all where calls are shared


class Interrupted(Exception):
    """Stands for a crash."""


class Clock:
    """Every trial takes a second, and nothing else takes any."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def searched(
    blobs: models.GaussianMixture,
    pool: InlinePool,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    recorded: list[Trial],
    stop_after: int = BUDGET,
    elapsed: float = 0.0,
) -> Result:
    """A run that adds its trials to ``recorded``, and breaks off after so many."""
    clock = Clock()
    monkeypatch.setattr(budget, "time", clock)

    def record(trial: Trial) -> None:
        if len(recorded) == stop_after:
            raise Interrupted
        recorded.append(trial)
        clock.now += 1.0

    problem = Problem("blobs", nfe=4, budget=BUDGET, noises=16, limits=LIMITS[kind])
    log, on = TrialLog(list(recorded), elapsed), Callbacks(trial=record)
    return run(problem, blobs.process, pool, by_replay, log=log, on=on, stages=STAGES_OF[kind])


@pytest.mark.parametrize("kind", LIMITS)
def test_a_limited_search_ends_the_same_wherever_it_was_broken_off(
    blobs: models.GaussianMixture, inline: InlinePool, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The result says which limit ended it; broken off in a generation, or among the fits after it, and however long
    it lay, it ends with the same trials and the same result."""
    all_trials: list[Trial] = []
    straight = searched(blobs, inline, monkeypatch, kind, all_trials)
    assert straight.ended == kind
    assert straight.cost.search_calls <= (straight.problem.limits.calls or straight.calls)
    cut = [trial for trial in all_trials if not STAGES[trial.origin.stage].final]
    assert (len(cut) < BUDGET - 12) == (kind != "budget")
    broken_off: list[Trial] = []
    with pytest.raises(Interrupted):
        searched(blobs, inline, monkeypatch, kind, broken_off, stop_after=20)
    assert broken_off == all_trials[:20]
    for seen, elapsed in ((broken_off, 20), (all_trials[: len(cut) + 2], 10 * SECONDS)):
        resumed = searched(blobs, inline, monkeypatch, kind, seen, elapsed=elapsed)
        assert timeless(resumed) == timeless(straight)
        assert sorted(seen, key=lambda trial: trial.number) == sorted(all_trials, key=lambda trial: trial.number)
