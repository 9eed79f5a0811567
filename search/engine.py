"""The search of one problem: teacher, baselines, guided generations, fit, polish, confirmation on noises it never saw.

A run is a function of the problem and of the outcomes of its trials, so it can be stopped at any time and started again
with the trials that were recorded: it asks for the same ones and evaluates only those that are missing. (A limit of
seconds makes it a function of the clock as well.)
"""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fewstep import Schedule
from fewstep.errors import SearchFailed
from fewstep.grids.arc_length import ArcLength
from fewstep.processes import Process
from fewstep.search.budget import BATCH, Purse
from fewstep.search.evaluation.noises import joined
from fewstep.search.evaluation.pool import Pool
from fewstep.search.evaluation.racing import Race, best_of
from fewstep.search.optimize import gradient_check as gradient
from fewstep.search.samplers.ranking import RankFactory
from fewstep.search.samplers.study import Proposal, Study
from fewstep.search.space import Space
from fewstep.search.stages import polish as polishing
from fewstep.search.stages import time_search as closed_loop
from fewstep.search.stages import warm_start as nest
from fewstep.search.stages.arc_length import measured
from fewstep.search.stages.baselines import BY_HAND, GRID, SOLVER, baselines, on_arc, varied
from fewstep.search.stages.fit import refine
from fewstep.search.stages.selection import confirm
from fewstep.search.stages.teacher import Sets, teach
from fewstep.values.origin import Origin
from fewstep.values.problem import Problem
from fewstep.values.result import Cost, Result
from fewstep.values.trial import Candidate, Trial

__all__ = ["LATE", "Progress", "Record", "run"]

RANKED = 24  # followed noises on which the ranker replays candidates
LEARNT = 32  # hand-made solvers whose order the ranker decides anew for every generation
SURE = 1.645  # standard deviations below a forecast: lower is 5 % likely
HOPELESS = 2  # generations without hope of the improvement that is asked for, after which trials stop
LATE = ("nested", "fit", "polish")  # first words of the origins of what comes after the guided trials

Progress = Callable[[str, int, int], None]
Record = Callable[[Trial], None]


def run(
    problem: Problem,
    process: Process,
    pool: Pool,
    rank: RankFactory,
    record: Record = lambda trial: None,
    recorded: Sequence[Trial] = (),
    progress: Progress = lambda phase, done, total: None,
    seeds: Sequence[Schedule] = (),
    others: Sequence[Trial] = (),
    curve: Callable[[ArcLength], None] = lambda arc: None,
    racing: bool = True,
    elapsed: float = 0.0,
) -> Result:
    """Search and confirm; returns the `Result`.

    ``record`` is called once for each new trial, as soon as it is known. ``recorded`` are the trials of an earlier,
    interrupted run of the same problem, which took ``elapsed`` seconds. ``progress`` gets (phase, done, total).
    ``seeds`` are schedules of one call less, in practice the best known: with a call more they are fitted like the best
    trials, and what is published is no worse than any of them. ``others`` are trials of the same model and metric with
    other numbers of calls, from which a ranker may learn. ``curve`` is called with the model's arc length, where it
    could be measured. Without ``racing`` every trial meets all noises. Raises `SearchFailed` where nothing could be
    evaluated or the limits leave no room; an exception raised by ``record``, ``progress`` or ``curve`` ends the run.
    """
    began = time.monotonic()
    sets = Sets.of(problem)
    nested = [nest.split(seed) for seed in seeds]
    purse = Purse(problem, sets, len(nested), elapsed)
    teaching = teach(pool, problem, sets, progress)
    arc = measured(pool, problem.seed) if purse.affords_arc() else None
    before = teaching.calls + (0 if arc is None else arc.calls)
    if arc is not None:
        curve(arc)
    space = Space(process, problem.nfe, arc, teaching.variance or None)
    ranker = rank(teaching.followed.first(RANKED))
    study = Study(space, lambda known, new: ranker([*others, *known], new), BATCH, problem.seed, problem.sampler)
    pieces = sets.search if racing else (joined(sets.search),)
    race = Race(pool, problem, pieces, teaching.metrics[0], record, recorded, progress)

    def best() -> Trial | None:
        return best_of(study.trials, problem.noises)

    def cut(count: int, same: Callable[[str], bool], swept: int | None = None) -> str | None:
        """What ends trials before the next ``count``, if anything. What an earlier run began is always taken up again,
        whatever the clock says by now, and what it cut off stays so; ``same`` tells them by the first word of their
        origin."""
        known = race.known.get(len(study.trials))
        if known is not None and same(str(known.origin).split()[0]):
            return None
        short = purse.short(before + race.calls, count, swept)
        if known is not None and short is None:
            short = "space" if problem.limits.seconds is None else "seconds"
        return short

    def offer(origin: str, schedules: Mapping[str, Schedule]) -> bool:
        """Have these evaluated as the next trials, whatever the study would ask for; false where they are cut off."""
        swept = race.calls if origin == BY_HAND else None
        if study.trials and cut(len(schedules), lambda word: word == origin, swept):
            return False
        made = [Proposal(len(study.trials) + k, s, f"{origin} {name}") for k, (name, s) in enumerate(schedules.items())]
        for trial in race(made, "search", best(), among=True):
            study.add(trial)
        return True

    guided = problem.budget - purse.fits
    hand_made = {name: schedule.canonical() for name, schedule in baselines(process, problem.nfe).items()}
    untried, swept = list(hand_made), max(guided // 2, 1)  # at most half of the trials
    while untried and len(study.trials) < swept:
        tried = len(study.trials)
        if tried < LEARNT:  # the ranker learns from each generation which ones to try next
            forecast = ranker(study.trials, [hand_made[name] for name in untried]).mean
            untried = [untried[i] for i in np.argsort(forecast, kind="stable")]
        chosen = varied(untried, SOLVER if tried else GRID, min(BATCH, swept - tried))
        if not offer(BY_HAND, {name: hand_made[name] for name in chosen}):
            break
        untried = [name for name in untried if name not in chosen]
    tried = len(study.trials)
    if not any(trial.score for trial in study.trials):
        last = study.trials[-1]
        raise SearchFailed(f"none of {tried} baselines could be evaluated; the last: {last.reason}")
    purse.plan(before + race.calls, teaching.size)
    obstacle = None
    if purse.polish:
        obstacle = pool.submit(gradient.obstacle).result()
        before += gradient.PROBE_CALLS
        purse.probed(obstacle)
    if arc is not None:
        offer("seed", on_arc(arc, problem.nfe, study.trials, min(BATCH, (guided - tried) // 4)))
    ended, hopeless = "budget", 0
    while len(study.trials) < guided:
        first = len(study.trials)
        generation = range(first, min(first + BATCH, guided))
        if hopeless == HOPELESS:
            ended = "improvement"
            break
        if short := cut(len(generation), lambda word: word not in LATE):
            ended = short
            break
        if all(number in race.known for number in generation):  # no need to rank again what was chosen before
            trials = [race.known[number] for number in generation]
            race([Proposal(t.number, t.schedule, str(t.origin)) for t in trials], "search")
            study.resume(trials)
        else:
            asked = study.ask(len(generation))
            if not asked:
                ended = "space"
                break
            trials = race(asked, "search", best())
            study.tell(trials)
        hopeless = 0 if _hope(trials, best(), problem) else hopeless + 1

    progress("fit", race.made, problem.budget)
    trials, begun = study.trials, len(study.trials)
    starts = nested[: purse.fits // 2]
    sought = closed_loop.Sought(None, 0)
    if purse.affords_loop():
        sought = closed_loop.seek(pool, space, sets.followed, teaching.followed, problem.seed)
        purse.polish -= sought.calls
    polishes = purse.polishes()
    most = purse.fits - max(polishes, obstacle is not None) - len(starts) - (sought.schedule is not None)
    whole = [t for t in trials if t.score is not None and t.score.noises == problem.noises]
    rows = refine(pool, space, sets.followed, teaching.followed, whole, most, starts) if most > 0 else []
    late = [*((s, "nested") for s in starts), *((s, "fit") for s in rows)]
    if sought.schedule is not None and sought.schedule not in rows:
        late.append((sought.schedule, "fit closed-loop"))
    fitted = race([Proposal(begun + i, *each) for i, each in enumerate(late)], "fit")
    spent = sought.calls + len(rows) * sets.followed.count * problem.nfe
    if polishes:
        noises, size, calls = sets.followed, teaching.size, purse.polish
        done = polishing.polished(pool, problem, fitted, noises, size, polishes, calls, progress)
        for i, (schedule, reason) in enumerate(done.outcomes, begun + len(late)):
            if reason is None:
                fitted += race([Proposal(i, schedule, "polish")], "fit")
            else:
                race.add_failed(Trial(i, Candidate(schedule, Origin("polish")), None, reason))
        spent += done.calls
    elif obstacle is not None and fitted:
        unpolished = Candidate(fitted[0].schedule, Origin("polish"))
        race.add_failed(Trial(begun + len(late), unpolished, None, f"not polished: {obstacle}"))
    progress("fit", problem.budget, problem.budget)
    progress("confirm", 0, 1)
    word = confirm(problem, trials, fitted, hand_made, pool, sets, teaching.metrics, nested)
    progress("confirm", 1, 1)
    return Result(
        problem=problem,
        winner=word.winner,
        baseline=word.baseline,
        ratio=word.ratio,
        ratio_interval=word.ratio_interval,
        teacher_error=teaching.error,
        cost=Cost(
            calls=before + race.calls + spent + word.calls,
            evaluations=len(trials) + len(fitted),
            seconds=elapsed + time.monotonic() - began,
            passes_per_call=teaching.passes,
        ),
        ended=ended,
    )


def _hope(trials: Sequence[Trial], best: Trial | None, problem: Problem) -> bool:
    """Whether a forecast of the generation reached down to the improvement that is asked for, or none is."""
    share = problem.limits.improvement
    if share is None or best is None or best.score is None or best.score.value <= 0:
        return True
    wanted = np.log(best.score.value) + np.log1p(-share) if share < 1 else -np.inf
    forecasts = [(t.predicted, t.predicted_std or 0.0) for t in trials if t.predicted is not None]
    return not forecasts or min(mean - SURE * std for mean, std in forecasts) < wanted
