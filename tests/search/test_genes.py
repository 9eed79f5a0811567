"""One table of genes: what the space holds, encodes, draws and hands to Optuna is the same for every sampler."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler

import fewstep
from fewstep import Schedule, Step, models, processes, solvers
from fewstep.errors import InvalidInput, InvalidSchedule
from fewstep.search import Callbacks, find
from fewstep.search.gaps import log_gaps, log_snrs
from fewstep.search.genes import CHOICES, FACTORS, GAP, STEP_GENES, Choice
from fewstep.search.samplers import operators
from fewstep.search.samplers.base import Draw, Setting, candidate, elite
from fewstep.search.samplers.optuna import distributions
from fewstep.search.samplers.study import Study
from fewstep.search.space import Space
from fewstep.steps.exponential import SCALES
from fewstep.timeshift import TimeShift
from fewstep.values.forecast import Forecasts
from fewstep.values.limits import Limits
from fewstep.values.origin import Origin
from fewstep.values.problem import Problem
from fewstep.values.samplers import SAMPLERS, Sampler
from fewstep.values.score import Score
from fewstep.values.stages import STAGES
from fewstep.values.trial import Candidate, Trial

VP = processes.VPLinear()
SPACE = Space(VP, 4, variance=0.5)
POINT = SPACE.build(np.zeros(4), [Step(order=2), Step(order=2), Step(order=3, corrector=4), Step(order=2)])


def with_step(index: int, **changes: Any) -> Schedule:
    """A point of the space, one of its steps changed."""
    steps = list(POINT.steps)
    steps[index] = replace(steps[index], **changes)
    return replace(POINT, steps=tuple(steps))


def fitted() -> Schedule:
    """A point of the space with coefficients that are not those of its choices."""
    tableau = fewstep.compile(POINT)
    return replace(POINT, fitted=replace(tableau, outputs=1.01 * tableau.outputs))


OUTSIDE = {
    "slope": with_step(1, scale="linear", slope=2.0),
    "second": with_step(2, second=5.0),
    "scale": with_step(1, scale="0.5exp"),
    "corrector scale": with_step(2, corrector_scale="0.5exp"),
    "corrector slope": with_step(2, corrector_scale="linear", corrector_slope=-0.6),
    "corrector order": with_step(2, corrector=2),
    "variable": with_step(1, variable="rho"),
    "start": with_step(1, start=-2),
    "weights": with_step(1, weights=(1.5, -0.5)),
    "points": with_step(2, points=((-2,), (-2, -3))),
    "noise": with_step(1, eta=1.0),
    "network time": with_step(1, offset=0.01),
    "late start": replace(POINT, times=(0.95, *POINT.times[1:])),
    "early end": replace(POINT, times=(*POINT.times[:-1], 1.5 * VP.t_min)),
    "calls": solvers.named("ddim").schedule(VP, 3),
    "process": solvers.named("ddim").schedule(processes.Cosine(), 4),
    "fitted coefficients": fitted(),
    "window": replace(POINT, shift=TimeShift(window=0.9, cutoff=0.3)),
    "mode": replace(POINT, shift=TimeShift(window=0.1, cutoff=0.3, mode="start")),
}


def rank(trials: object, schedules: list[Schedule]) -> Forecasts:
    """A forecast that knows nothing."""
    return Forecasts(np.array([s.times[1] for s in schedules]), np.ones(len(schedules)))


def outcome(number: int, proposal: Candidate) -> Trial:
    """A trial whose cost is its first inner time."""
    return Trial(number, proposal, Score(0.1 + proposal.schedule.times[1], 0.0, 1, 4))


def contains(distribution: BaseDistribution, value: object) -> bool:
    """Whether Optuna takes the value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return bool(distribution._contains(distribution.to_internal_repr(value)))
        except ValueError:
            return False


@pytest.mark.parametrize("name", OUTSIDE)
def test_schedules_outside_the_space_are_told_apart(name: str) -> None:
    """Each differs from a point of the space in one thing only."""
    assert SPACE.holds(POINT)
    assert not SPACE.holds(OUTSIDE[name])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_works_beside_schedules_outside(sampler: str) -> None:
    """They are trials like others, good ones even, and no sampler stumbles over them: what it proposes lies in the
    space, every parameter in its range, and decoding gives back the schedule."""
    study = Study(SPACE, rank, 4, 0, sampler)
    for number, schedule in enumerate([*OUTSIDE.values(), POINT]):
        study.add(Trial(number, Candidate(schedule, Origin("baselines")), Score(0.01 * (number + 1), 0.0, 1, 4)))
    study.add(Trial(len(study.trials), Candidate(OUTSIDE["slope"], Origin("baselines")), None, "made to fail"))
    for _ in range(3):
        study.take([outcome(number, each) for number, each in enumerate(study.ask(4), len(study.trials))])
    proposed = [trial.schedule for trial in study.trials[len(OUTSIDE) + 2 :]]
    assert len(proposed) == 12
    ranges = distributions(SPACE)
    for schedule in proposed:
        point = SPACE.encode(schedule)
        assert SPACE.holds(schedule)
        assert point.keys() == ranges.keys() == SPACE.genes.keys()
        assert all(contains(ranges[name], value) for name, value in point.items())
        assert all(SPACE.genes[name].contains(value) for name, value in point.items())
        again = SPACE.decode(point)
        assert again.steps == schedule.steps
        exact = log_gaps(np.diff(log_snrs(VP, np.array(schedule.times))))
        if np.ptp(exact) <= GAP.high - GAP.low:
            np.testing.assert_allclose(again.times, schedule.times, rtol=1e-9)


@given(data=st.data(), seed=st.integers(0, 2**32 - 1), nfe=st.integers(2, 6))
def test_a_schedule_is_held_where_optuna_takes_its_point_and_gives_it_back(
    data: st.DataObject, seed: int, nfe: int
) -> None:
    """Whatever one entry of one step is changed to, inside its range, at its ends or beyond."""
    space = Space(VP, nfe)
    schedule = operators.uniform(space, np.random.default_rng(seed))
    field, values = data.draw(st.sampled_from(sorted(ANY.items(), key=lambda item: item[0])))
    index, value = data.draw(st.integers(0, nfe - 1)), data.draw(values)
    steps = list(schedule.steps)
    try:
        steps[index] = replace(steps[index], **{field: value})
        changed = replace(schedule, steps=tuple(steps)).canonical()
    except InvalidSchedule:
        assume(False)
    ranges, point = distributions(space), space.encode(changed)
    given_back = space.decode(point).steps == changed.steps
    assert space.holds(changed) == (given_back and all(contains(ranges[name], point[name]) for name in ranges))


ANY: dict[str, st.SearchStrategy[Any]] = {
    **{choice.name: st.sampled_from(choice.values) for choice in CHOICES if choice.name != "corrector"},
    **{
        factor.name: st.sampled_from([factor.low, factor.high]) | st.floats(2 * factor.low, 2 * factor.high)
        for factor in FACTORS
    },
    "scale": st.sampled_from(sorted(SCALES)),
    "corrector_scale": st.sampled_from(sorted(SCALES)),
    "corrector": st.integers(0, 5),
    "start": st.integers(-3, -1),
    "variable": st.sampled_from(["lambda", "rho", "t"]),
    "offset": st.sampled_from([0.0, 1e-3]),
    "eta": st.sampled_from([0.0, 1.0]),
}


@pytest.mark.parametrize("gene", [GAP, *STEP_GENES], ids=lambda gene: gene.name)
def test_draws_are_in_the_gene_and_reach_all_of_it(gene: Any) -> None:
    """Every value of a choice, both halves of a range; nothing beyond."""
    rng = np.random.default_rng(0)
    values = [gene.draw(rng) for _ in range(200)]
    assert all(gene.contains(value) for value in values)
    if isinstance(gene, Choice):
        assert set(values) == set(gene.values)
        assert not gene.contains("else")
    else:
        middle = 0.5 * (gene.low + gene.high)
        assert min(values) < middle < max(values)
        assert gene.contains(gene.low)
        assert gene.contains(gene.high)
        assert not gene.contains(np.nextafter(gene.high, np.inf))
        assert not gene.contains(np.nan)
        assert gene.clip(gene.low - 1) == gene.low


@pytest.mark.parametrize("process", [VP, processes.VE(), processes.Flow(), processes.Discrete.linear_betas()], ids=str)
def test_points_at_the_ends_of_the_range_come_back(process: processes.Process) -> None:
    """Gaps as unequal as the range allows, whatever their mean, lead to times whose point gives the same times."""
    space, steps = Space(process, 5), [Step()] * 5
    for gaps in ([5.0, 5.0, 5.0, 5.0, -5.0], [-5.0, -5.0, 5.0, -5.0, -5.0], [5.0, 4.0, -4.9, 3.0, 5.0]):
        schedule = space.build(np.array(gaps), steps)
        assert space.holds(schedule)
        np.testing.assert_allclose(space.decode(space.encode(schedule)).times, schedule.times, rtol=1e-9)


def test_times_beyond_the_range_stand_for_the_nearest_point() -> None:
    """A flow's quadratic grid of 50 calls has λ-gaps outside the range: baselines on it are points all the same, their
    gaps clipped, and can be varied."""
    flow = processes.Flow()
    space, rng = Space(flow, 50), np.random.default_rng(0)
    schedule = solvers.named("dpmpp-2m").schedule(flow, 50, "quadratic").canonical()
    gaps = log_gaps(np.diff(log_snrs(flow, np.array(schedule.times))))
    assert gaps.min() < GAP.low
    assert space.holds(schedule)
    assert [space.encode(schedule)[f"gap_{i}"] for i in range(50)] == np.clip(gaps, GAP.low, GAP.high).tolist()
    for _ in range(30):
        assert space.holds(operators.mutate(space, schedule, rng))


class Nearest:
    """Proposes small mutations of the best trial."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def propose(self, number: int, draw: Draw) -> Candidate:
        """A mutation, or a uniform schedule where there is nothing to mutate."""
        space, rng = self.setting.space, np.random.default_rng([self.setting.seed, number])
        best = elite(space, self.setting.trials, 1)
        schedule = operators.mutate(space, best[0], rng) if best else operators.uniform(space, rng)
        return candidate(schedule, "nearest")


class InTurn(RandomSampler):
    """Optuna's random sampler, which notes what it draws."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(seed=setting.seed)
        self.names: list[str] = []
        NOTED.append(self)

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """As ever."""
        self.names.append(param_name)
        return super().sample_independent(study, trial, param_name, param_distribution)


NOTED: list[InTurn] = []


@pytest.fixture
def outside_samplers() -> Iterator[None]:
    """Two samplers that are no part of the packages."""
    SAMPLERS.add("nearest", Sampler(Nearest))
    SAMPLERS.add("in-turn", Sampler(InTurn))
    yield
    SAMPLERS.remove("nearest")
    SAMPLERS.remove("in-turn")


@pytest.mark.usefixtures("outside_samplers")
@pytest.mark.parametrize("name", ["nearest", "in-turn"])
def test_a_sampler_from_outside_searches(name: str, blobs: models.GaussianMixture) -> None:
    """One that proposes by itself and one of Optuna's kind: both are known by their names, and their trials count."""
    trials: list[Trial] = []
    on, stages = Callbacks(trial=trials.append), [STAGES["baselines"], STAGES["guided"]]
    result = find(blobs, 3, (4,), budget=24, noises=16, sampler=name, on=on, stages=stages)
    assert result.problem.sampler == name
    assert sum(trial.origin.name == name for trial in trials) >= 8


@pytest.mark.usefixtures("outside_samplers")
def test_only_a_sampler_with_forecasts_takes_a_limit_of_improvement() -> None:
    """Its entry says so; the message lists those that have them."""
    limits = Limits(improvement=0.01)
    with pytest.raises(InvalidInput, match="only 'guided' makes: 'nearest' has none"):
        Problem("blobs", 3, sampler="nearest", limits=limits)
    SAMPLERS.add("forecasting", Sampler(Nearest, forecasts=True))
    try:
        assert Problem("blobs", 3, sampler="forecasting", limits=limits).sampler == "forecasting"
    finally:
        SAMPLERS.remove("forecasting")


@pytest.mark.usefixtures("outside_samplers")
def test_parameters_are_drawn_in_the_order_of_the_table() -> None:
    """The order of the draws does not hang on the hashes of a process, so another process resumes the same study."""
    study = Study(SPACE, rank, 4, 0, "in-turn")
    study.ask(1)
    assert NOTED[-1].names == list(SPACE.genes)
