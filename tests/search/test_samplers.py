"""One behavioural suite over all samplers of a study, on a problem whose cost is known in closed form."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fewstep import Schedule, processes
from fewstep.errors import UnknownName
from fewstep.search.samplers import evolution
from fewstep.search.samplers import operators as proposals
from fewstep.search.samplers.base import candidate
from fewstep.search.samplers.study import Study
from fewstep.search.space import Space
from fewstep.search.stages.baselines import baselines
from fewstep.values.forecast import Forecasts
from fewstep.values.origin import Origin
from fewstep.values.samplers import SAMPLERS
from fewstep.values.score import Score
from fewstep.values.trial import Candidate, Trial

SPACE = Space(processes.VPLinear(), 3)
BATCH = 4
GENERATIONS = dict.fromkeys(SAMPLERS, 10) | {"nsga2": 20, "gp": 4}  # slow to learn, slow to propose
WANTED = np.array([-0.4, 0.0, 0.4])  # log λ-gaps


def cost(schedule: Schedule) -> float:
    """How far the log λ-gaps are from the wanted ones, more for every step in noise prediction."""
    noise = sum(step.prediction == "noise" for step in schedule.steps)
    return float(np.sqrt(np.sum((SPACE.logits(schedule) - WANTED) ** 2) + 0.1 * noise)) + 0.01


def rank(trials: Sequence[Trial], candidates: Sequence[Schedule]) -> Forecasts:
    """A fair forecast: the truth, twisted."""
    twist = np.array([np.sin(40 * schedule.times[1]) for schedule in candidates])
    return Forecasts(np.log([cost(s) for s in candidates]) + 0.5 * twist, np.full(len(candidates), 0.3))


def outcome(number: int, proposal: Candidate) -> Trial:
    """A trial; one in nine fails."""
    score = None if number % 9 == 8 else Score(cost(proposal.schedule), 0.0, 1, 3)
    return Trial(number, proposal, score, None if score else "made to fail")


def outcomes(study: Study, count: int) -> list[Trial]:
    """The trials of the next proposals."""
    return [outcome(number, each) for number, each in enumerate(study.ask(count), len(study.trials))]


def seeded(sampler: str, seed: int = 0) -> Study:
    study = Study(SPACE, rank, BATCH, seed, sampler)
    for i, schedule in enumerate(list(baselines(SPACE.process, SPACE.nfe).values())[:6]):
        study.add(outcome(i, Candidate(schedule.canonical(), Origin("baselines"))))
    return study


def advance(study: Study, generations: int) -> Study:
    for _ in range(generations):
        study.take(outcomes(study, BATCH))
    return study


@pytest.fixture(scope="module")
def straight() -> dict[str, list[Trial]]:
    """A whole study of every sampler; its first six trials are baselines."""
    return {name: advance(seeded(name), GENERATIONS[name]).trials for name in SAMPLERS}


@pytest.fixture(params=SAMPLERS)
def sampler(request: pytest.FixtureRequest) -> str:
    """Each sampler in turn."""
    return request.param


def test_every_sampler_but_random_gets_better(sampler: str, straight: dict[str, list[Trial]]) -> None:
    """The later half of what it proposes is better in the median than what the random sampler proposes."""
    costs = {name: [cost(trial.schedule) for trial in trials[6:]] for name, trials in straight.items()}
    later = np.median(costs[sampler][len(costs[sampler]) // 2 :])
    if sampler == "random":
        assert later == pytest.approx(np.median(costs["random"]), rel=0.5)
    else:
        assert later < 0.8 * np.median(costs["random"])


def test_all_work_in_one_space_and_no_schedule_comes_twice(sampler: str, straight: dict[str, list[Trial]]) -> None:
    """Trials are numbered in turn, canonical points of the space, and all different."""
    trials = straight[sampler]
    assert [trial.number for trial in trials] == list(range(6 + BATCH * GENERATIONS[sampler]))
    assert len({trial.schedule for trial in trials}) == len(trials)
    for trial in trials[6:]:
        assert trial.schedule == trial.schedule.canonical()
        assert SPACE.holds(trial.schedule)
        assert trial.origin.stage != "baselines"


def test_a_resumed_study_goes_on_as_it_would_have(sampler: str, straight: dict[str, list[Trial]]) -> None:
    """A new study that takes the recorded trials, failures among them, asks for the same ones next."""
    study, kept = seeded(sampler), 6 + 2 * BATCH
    for first in range(6, kept, BATCH):
        study.take(straight[sampler][first : first + BATCH])
    assert study.trials == straight[sampler][:kept]
    assert [p.schedule for p in study.ask(BATCH)] == [t.schedule for t in straight[sampler][kept : kept + BATCH]]


def test_another_seed_asks_for_others(sampler: str, straight: dict[str, list[Trial]]) -> None:
    """The seed matters from the first proposal on."""
    asked = [proposal.schedule for proposal in seeded(sampler, seed=1).ask(BATCH)]
    assert set(asked).isdisjoint(trial.schedule for trial in straight[sampler][6 : 6 + BATCH])


def test_a_used_up_space_ends_the_asking(sampler: str) -> None:
    """With one call all points are the same schedule: after it nothing is left to ask for."""
    space = Space(processes.VPLinear(), 1)
    study = Study(space, lambda trials, new: Forecasts(np.zeros(len(new)), np.ones(len(new))), BATCH, 0, sampler)
    (only,) = study.ask(BATCH)
    study.take([Trial(len(study.trials), only, Score(1.0, 0.0, 1, 1))])
    assert study.ask(BATCH) == []


def test_recorded_trials_that_would_not_be_asked_for_count_all_the_same() -> None:
    """Where a sampler proposes something else on resuming, what was recorded stays, and the study goes on."""
    study = seeded("tpe")
    others = [
        replace(trial, candidate=candidate(trial.schedule, "older")) for trial in outcomes(seeded("tpe", seed=7), BATCH)
    ]
    study.take(others)
    assert study.trials[6:] == others
    assert len(study.ask(BATCH)) == BATCH


def test_cmaes_moves_times_only(straight: dict[str, list[Trial]]) -> None:
    """All choices stay those of the best trial that it was given."""
    trials = straight["cmaes"]
    best = min((t for t in trials[:6] if t.score), key=lambda t: t.score.value if t.score else np.inf)
    assert {trial.schedule.steps for trial in trials[6:]} == {best.schedule.steps}
    assert len({trial.schedule.times for trial in trials[6:]}) == BATCH * GENERATIONS["cmaes"]


def test_unknown_samplers_are_refused() -> None:
    """The message lists the known ones."""
    with pytest.raises(UnknownName, match="guided, evolution, tpe"):
        Study(SPACE, rank, BATCH, 0, "annealing")


@pytest.mark.parametrize("process", [processes.VPLinear(), processes.VE(), processes.Flow(), processes.DDM()], ids=str)
def test_evolved_children_are_points_of_the_space(process: processes.Process) -> None:
    """Crossing and mutating keep the ends of the times, their order and the number of calls, on every noise law."""
    space, rng = Space(process, 6), np.random.default_rng(0)
    first, second = (proposals.uniform(space, rng) for _ in range(2))
    for _ in range(40):
        child = evolution.mutate(space, evolution.cross(space, first, second, rng), rng)
        assert space.holds(child)
        assert (child.nfe, child.times[0], child.times[-1]) == (6, process.t_max, process.t_min)
        assert np.all(np.diff(child.times) < 0)
        first, second = child, first


def test_crossing_takes_whole_kinds_or_steps() -> None:
    """Times come from one parent; of one kind of gene each step has what one of the parents has there."""
    space, rng = Space(processes.VPLinear(), 6), np.random.default_rng(1)
    first, second = (proposals.uniform(space, rng) for _ in range(2))
    deep = 0
    for _ in range(60):
        child = evolution.cross(space, first, second, rng)
        assert any(np.allclose(child.times, parent.times) for parent in (first, second))
        given = [(p.order, q.order) for p, q in zip(first.steps, second.steps, strict=True)]
        assert all(step.order in pair for step, pair in zip(child.steps, given, strict=True))
        orders = tuple(step.order for step in child.steps)
        deep += orders not in (tuple(p for p, _ in given), tuple(q for _, q in given))
    assert 10 < deep < 50
