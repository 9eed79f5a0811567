"""Time shifts as genes: every point is a valid schedule, equal schedules are equal points, and they are searched."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep import Schedule, Step, models, processes, solvers
from fewstep.search.engine import run
from fewstep.search.evaluation.pool import InlinePool
from fewstep.search.genes import WINDOW, ShiftGenes
from fewstep.search.log import Callbacks, WarmStart
from fewstep.search.samplers import evolution
from fewstep.search.samplers import operators as proposals
from fewstep.search.samplers.optuna import distributions
from fewstep.search.samplers.ranking import by_replay
from fewstep.search.samplers.study import Study
from fewstep.search.space import Space
from fewstep.timeshift import TimeShift
from fewstep.values.problem import Problem
from fewstep.values.samplers import SAMPLERS
from fewstep.values.score import Score
from fewstep.values.stages import STAGES
from fewstep.values.trial import Trial
from tests.trials import trial_of

VP, TABLE = processes.VPLinear(), processes.Discrete.linear_betas()
LAWS = [VP, TABLE, processes.VE(), processes.Flow(), processes.DDM()]


def shift(space: Space, window: float, cutoff: float, target: str = "paper") -> TimeShift:
    """A shift by its genes, as they are."""
    made = space.shifts.decode({"shift": target, "window": window, "cutoff": cutoff})
    assert made is not None
    return made


def even(space: Space, made: TimeShift | None) -> Schedule:
    """Even steps of first order with that shift."""
    return space.build(np.zeros(space.nfe), [Step()] * space.nfe, made)


@given(seed=st.integers(0, 2**32 - 1), nfe=st.integers(1, 12), law=st.sampled_from(LAWS), variance=st.floats(0.05, 0.9))
def test_proposals_are_valid_points(seed: int, nfe: int, law: processes.Process, variance: float) -> None:
    """Whatever proposes them, the space holds them, every gene is in its range, and decoding gives back target and
    window exactly and the cut-off to the rounding of times."""
    rng, space = np.random.default_rng(seed), Space(law, nfe, variance=variance)
    first, second = (even(space, space.shifts.mutate(None, 0.3, rng)) for _ in range(2))
    made = [proposals.uniform(space, rng), first, second]
    for _ in range(3):
        for change in (proposals, evolution):
            made.append(change.mutate(space, made[-1], rng))
            made.append(change.cross(space, made[-1], first, rng))
    ranges = distributions(space)
    for schedule in made:
        assert space.holds(schedule)
        point = space.encode(schedule)
        assert point.keys() == ranges.keys()
        for gene in ("window", "cutoff", "shift") if nfe > 1 else ():
            assert ranges[gene]._contains(ranges[gene].to_internal_repr(point[gene]))
        again = space.decode(point)
        assert again.steps == schedule.steps
        if schedule.shift is None:
            assert again.shift is None
        else:
            assert again.shift is not None
            assert replace(again.shift, cutoff=0.0) == replace(schedule.shift, cutoff=0.0)
            assert again.shift.cutoff == pytest.approx(schedule.shift.cutoff, rel=1e-9)


@given(seed=st.integers(0, 2**32 - 1), nfe=st.integers(2, 12), law=st.sampled_from(LAWS))
def test_settling_changes_no_call(seed: int, nfe: int, law: processes.Process) -> None:
    """The settled shift shifts the same calls as the one drawn, and settling it again changes nothing."""
    rng, space = np.random.default_rng(seed), Space(law, nfe, variance=0.5)
    drawn = shift(space, 1.0, rng.uniform(0, 1))
    times = proposals.uniform(space, rng).times
    settled = space.shifts.settled(drawn, times)
    shifted = [time > drawn.cutoff for time in times[1:-1]]
    if not any(shifted):
        assert settled is None
    else:
        assert settled is not None
        assert [time > settled.cutoff for time in times[1:-1]] == shifted
        assert space.shifts.settled(settled, times) == settled


def test_equal_schedules_are_equal_points() -> None:
    """Cut-offs between the same two calls, and windows of the same table entries, are one schedule; a shift of no call
    is none, whatever its window."""
    space = Space(TABLE, 4, variance=0.5)
    times = even(space, None).times
    low, high = ((t - TABLE.t_min) / (TABLE.t_max - TABLE.t_min) for t in times[2:0:-1])
    a, b = (even(space, shift(space, 0.4, low + share * (high - low))) for share in (0.2, 0.8))
    assert a == b
    assert a.shift is not None
    wide, wider = (replace(a.shift, window=window) for window in (40.0, 41.9))
    assert even(space, wide) == even(space, wider)
    assert even(space, replace(wide, window=1.5)).shift is None
    assert even(space, shift(space, 0.4, high + 0.01)) == even(space, None) == even(space, shift(space, 1.5, 1.0))
    unused = {name: space.encode(even(space, None))[name] for name in ("shift", "window", "cutoff")}
    assert unused == {name: space.encode(even(space, shift(space, 1.4, 1.0)))[name] for name in unused}


@pytest.mark.parametrize("nfe", [2, 7, 12, 20, 33, 50])
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.kind)
def test_the_ends_of_the_ranges_are_points(law: processes.Process, nfe: int) -> None:
    """The narrowest and the widest window are held, in range and given back, also where a table cuts them down to whole
    entries; where nothing is left of one, there is no shift."""
    space = Space(law, nfe, variance=0.5)
    for window in (WINDOW.low, WINDOW.high):
        schedule = even(space, shift(space, window, 0.0))
        point = space.encode(schedule)
        assert space.holds(schedule)
        entries = 2 * nfe / (law.t_max - law.t_min) if law is TABLE else 1e-9
        assert point["window"] == pytest.approx(window if schedule.shift else 0.5, abs=entries)
        assert WINDOW.low <= point["window"] <= WINDOW.high
        assert (schedule.shift is None) == (law is TABLE and nfe == 50 and window == WINDOW.low)
        assert getattr(space.decode(point).shift, "window", None) == getattr(schedule.shift, "window", None)


def test_which_shifts_there_are() -> None:
    """None without a variance or with one call; no "calibrated" where it tells no time or is the same as "paper"."""
    assert ShiftGenes(VP, 4).targets == ShiftGenes(VP, 1, 0.5).targets == ()
    assert ShiftGenes(VP, 4, 0.5).targets == ("paper", "calibrated")
    assert ShiftGenes(VP, 4, 1.0).targets == ShiftGenes(VP, 4, 0.0).targets == ("paper",)
    assert not {"shift", "window", "cutoff"} & distributions(Space(VP, 4)).keys()


def test_other_shifts_are_no_points() -> None:
    """Another mode, another variance, a window out of range, and any shift in a space without."""
    space, plain = Space(VP, 4, variance=0.5), solvers.named("ddim").schedule(VP, 4, "time")
    paper = TimeShift(window=0.1, cutoff=0.3)
    assert space.holds(replace(plain, shift=paper))
    assert not Space(VP, 4).holds(replace(plain, shift=paper))
    calibrated = replace(paper, target="calibrated", variance=0.5)
    assert space.holds(replace(plain, shift=calibrated))
    for other in (replace(paper, mode="start"), replace(paper, window=0.9), replace(calibrated, variance=0.6)):
        assert not space.holds(replace(plain, shift=other))


def test_most_uniform_proposals_have_none() -> None:
    """About one in four has a shift, of either target; in a space without shifts the draws are the same as ever."""
    rng, space = np.random.default_rng(0), Space(VP, 6, variance=0.5)
    found = [proposals.uniform(space, rng).shift for _ in range(400)]
    assert 60 < sum(shift is not None for shift in found) < 130
    assert {shift.target for shift in found if shift is not None} == {"paper", "calibrated"}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_works_in_a_space_with_shifts(sampler: str) -> None:
    """Two generations after seeds with and without shifts; where shifts are what lowers the cost, some are proposed."""
    space = Space(VP, 3, variance=0.5)

    def outcome(number: int, schedule: Schedule) -> Trial:
        value = 0.1 + schedule.times[1] + (schedule.shift is None)
        return trial_of(number, schedule, Score(value, 0.0, 1, 3), "made")

    study = Study(space, by_cost, 4, 0, sampler)
    for number, made in enumerate((None, shift(space, 0.5, 0.1), shift(space, 0.7, 0.1, "calibrated"))):
        study.add(outcome(number, even(space, made)))
    for _ in range(2):
        study.take(
            [
                replace(outcome(number, each.schedule), candidate=each)
                for number, each in enumerate(study.ask(4), len(study.trials))
            ]
        )
    schedules = [trial.schedule for trial in study.trials]
    assert len(set(schedules)) == len(schedules) == 11
    assert all(space.holds(schedule) for schedule in schedules)
    assert any(schedule.shift is not None for schedule in schedules[3:])


def by_cost(trials: object, candidates: list[Schedule]) -> tuple[np.ndarray, np.ndarray]:
    """A forecast that prefers shifted schedules."""
    return np.array([float(schedule.shift is None) for schedule in candidates]), np.full(len(candidates), 0.1)


def test_a_search_tries_shifts_and_fits_none(inline: InlinePool, blobs: models.GaussianMixture) -> None:
    """Shifted schedules are among its trials; what is fitted or polished has none."""
    trials: list[Trial] = []
    run(Problem("blobs", 4, budget=64, noises=16), blobs.process, inline, by_replay, on=Callbacks(trial=trials.append))
    shifted = [trial for trial in trials if trial.schedule.shift is not None]
    assert shifted
    assert all(trial.schedule.fitted is None for trial in shifted)
    assert not any(STAGES[trial.origin.stage].final for trial in shifted)


def test_a_nested_seed_keeps_its_shift_and_its_fit_drops_it(inline: InlinePool, blobs: models.GaussianMixture) -> None:
    """The best schedule of one call less gives the very same samples, so its shift stays until rows are fitted."""
    seed = replace(solvers.named("ddim").schedule(blobs.process, 3, "time"), shift=TimeShift(0.1, 0.2))
    trials: list[Trial] = []
    problem, on = Problem("blobs", 4, budget=16, noises=16), Callbacks(trial=trials.append)
    stages = [STAGES[name] for name in ("baselines", "guided", "warm-start", "fit")]
    run(problem, blobs.process, inline, by_replay, warm=WarmStart([seed]), on=on, stages=stages)
    late = {str(trial.origin): [t.schedule.shift for t in trials if t.origin == trial.origin] for trial in trials}
    assert late["nested"] == [seed.shift]
    assert set(late["fit"]) == {None}
