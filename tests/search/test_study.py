"""The study: deterministic, rebuilt from its trials, led by the ranker, robust to failures."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from fewstep import Schedule, processes, solvers
from fewstep.search.samplers.study import Study
from fewstep.search.space import Space
from fewstep.search.stages.baselines import baselines
from fewstep.values.forecast import Forecasts
from fewstep.values.origin import Origin
from fewstep.values.score import Score
from fewstep.values.trial import Candidate, Trial
from tests.trials import trial_of

SPACE = Space(processes.VPLinear(), 4)
Rank = Callable[[Sequence[Trial], Sequence[Schedule]], Forecasts]


def cost(schedule: Schedule) -> float:
    """A stand-in for an evaluation: how far the first time is from 0.6."""
    return abs(schedule.times[1] - 0.6) + 1e-4


def oracle(trials: Sequence[Trial], candidates: Sequence[Schedule]) -> Forecasts:
    return Forecasts(np.log([cost(s) for s in candidates]), np.full(len(candidates), 0.1))


def blind(trials: Sequence[Trial], candidates: Sequence[Schedule]) -> Forecasts:
    noise = np.random.default_rng(len(trials)).normal(size=len(candidates))
    return Forecasts(noise, np.ones(len(candidates)))


def outcome(number: int, proposal: Candidate) -> Trial:
    score = None if number % 7 == 3 else Score(cost(proposal.schedule), 0.0, 1, 4)
    return Trial(number, proposal, score, None if score else "made to fail")


def seeded(rank: Rank, seed: int = 0) -> Study:
    study = Study(SPACE, rank, batch=4, seed=seed)
    for i, schedule in enumerate(list(baselines(SPACE.process, SPACE.nfe).values())[:10]):
        study.add(outcome(i, Candidate(schedule.canonical(), Origin("baselines"))))
    return study


def advance(study: Study, generations: int) -> Study:
    for _ in range(generations):
        study.take([outcome(number, each) for number, each in enumerate(study.ask(4), len(study.trials))])
    return study


@pytest.fixture(scope="module")
def guided() -> list[Trial]:
    """Four generations after ten baselines, with the truth as ranker."""
    return advance(seeded(oracle), 4).trials


@pytest.fixture(scope="module")
def unguided() -> list[Trial]:
    """Sixteen generations after ten baselines, with a blind ranker."""
    return advance(seeded(blind), 16).trials


def test_same_seed_same_trials_other_seed_other_trials() -> None:
    """Two studies with one seed propose the same schedules; another seed proposes others."""
    first, second, other = (advance(seeded(oracle, seed), 2).trials for seed in (5, 5, 6))
    assert first == second
    assert [t.schedule for t in first] != [t.schedule for t in other]


def test_a_study_rebuilt_from_its_trials_goes_on_as_it_would_have(guided: list[Trial]) -> None:
    """Adding the recorded trials to a new study gives the same next generation."""
    rebuilt = Study(SPACE, oracle, batch=4, seed=0)
    for trial in guided[:-4]:
        rebuilt.add(trial)
    assert advance(rebuilt, 1).trials == guided


def test_no_schedule_is_proposed_twice(unguided: list[Trial]) -> None:
    """All trials of a study differ."""
    assert len({trial.schedule for trial in unguided}) == len(unguided) == 74


def test_proposals_come_from_every_generator(unguided: list[Trial]) -> None:
    """Over a few generations of a blind ranker mutation, crossover, TPE and uniform proposals all get their turn."""
    origins = {str(trial.origin) for trial in unguided}
    assert origins == {"baseline", "mutation", "crossover", "uniform", "guided", "tpe"}


def test_a_good_ranker_is_followed(guided: list[Trial], unguided: list[Trial]) -> None:
    """With the truth as ranker the best trial is far better than with a blind one, at equal evaluations."""
    best, blindly = (min(t.score.value for t in trials[:18] if t.score) for trials in (guided, unguided))
    assert best < 0.5 * blindly


def test_forecasts_travel_with_their_trials(guided: list[Trial]) -> None:
    """Every asked trial carries the forecast made before it was evaluated."""
    for trial in guided[10:]:
        assert trial.predicted == pytest.approx(np.log(cost(trial.schedule)))


def test_the_best_trial_may_lie_outside_the_space() -> None:
    """A solver that the space does not hold counts as a trial, but what is varied are the best ones inside."""
    study = seeded(oracle)
    for number, name in enumerate(("heun", "ipndm-4"), start=len(study.trials)):
        schedule = solvers.named(name).schedule(SPACE.process, SPACE.nfe, "time")
        assert not SPACE.holds(schedule)
        study.add(trial_of(number, schedule, Score(1e-9, 0.0, 1, 4), "baseline"))
    asked = advance(study, 3).trials[12:]
    assert [trial.number for trial in asked] == list(range(12, 24))
    assert all(SPACE.holds(trial.schedule) for trial in asked)


def test_a_study_of_failures_still_proposes() -> None:
    """Where nothing has a score yet, proposals are drawn from the whole space."""
    study = Study(SPACE, blind, batch=4, seed=0)
    study.add(trial_of(0, baselines(SPACE.process, 4)["ddim logsnr"], None, "baseline", reason="made to fail"))
    assert len(study.ask(4)) == 4
