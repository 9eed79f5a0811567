"""The search of one problem: teacher, baselines, guided generations, fit, polish, confirmation on noises it never saw.

A run is a function of the problem and of the outcomes of its trials, so it can be stopped at any time and started again
with the trials that were recorded: it asks for the same ones and evaluates only those that are missing.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from typing import NamedTuple

import numpy as np
import torch

from fewstep import Schedule
from fewstep.arc_length import ArcLength
from fewstep.errors import SearchFailed, UnknownName
from fewstep.problem import Problem, Result, Trial
from fewstep.processes import Process
from fewstep.timeshift import pixel_variance
from fewstep.trajectory import Trajectories
from search import evaluate, nest, polishing, teacher
from search.arc import measured
from search.baselines import BY_HAND, baselines, on_arc
from search.confirm import confirm
from search.metrics import endpoint
from search.noises import HELD_OUT, SEARCH, VALIDATION, NoiseSet
from search.pool.base import Pool, WorkerLost
from search.ranking import RankFactory
from search.refine import refine
from search.space import Space
from search.study import SAMPLERS, Proposal, Study

__all__ = ["BATCH", "Progress", "Record", "SHARES", "Teaching", "run", "teach"]

BATCH = 8  # trials of a generation; fixed, so that results do not depend on the number of workers
CHUNK = 128  # noises of one task
SHARES = {SEARCH: 1, VALIDATION: 2, HELD_OUT: 4}  # sizes of the sets, in units of the problem's noises
FOLLOWED = 2  # in the same units: search noises whose whole trajectories are stored, for replay and fit
RANKED = 24  # of them, those on which the ranker replays candidates
MOST_ON_ARC = 8  # seeds on the grids that are measured on the model
MOST_FITS = 12  # the last trials of a budget, at most a quarter of it, are fitted and polished schedules

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
    sampler: str = "guided",
    seeds: Sequence[Schedule] = (),
    curve: Callable[[ArcLength], None] = lambda arc: None,
) -> Result:
    """Search and confirm; returns the `Result`.

    ``record`` is called once for each new trial, as soon as it is known. ``recorded`` are the trials of an earlier,
    interrupted run of the same problem. ``progress`` gets (phase, done, total). ``sampler`` is what proposes, one of
    `search.study.SAMPLERS`; only "guided" uses the ranker for it. ``seeds`` are schedules of one call less, in practice
    the best known: with a call more they are fitted like the best trials, and what is published is no worse than any of
    them. ``curve`` is called with the model's arc length, where it could be measured. Raises `SearchFailed` where
    nothing could be evaluated and `UnknownName` for other samplers; an exception raised by ``record``, ``progress`` or
    ``curve`` ends the run.
    """
    began = time.monotonic()
    if sampler not in SAMPLERS:  # before the teacher is paid for
        raise UnknownName("sampler", sampler, SAMPLERS)
    chunk = max(CHUNK, problem.noises)  # a trial is one task
    sets = {role: NoiseSet(problem.seed, role, share * problem.noises).chunks(chunk) for role, share in SHARES.items()}
    refined = NoiseSet(problem.seed, SEARCH, FOLLOWED * problem.noises)
    teaching = teach(pool, sets, refined, progress)
    arc = measured(pool, problem.seed)
    if arc is not None:
        curve(arc)
    space = Space(process, problem.nfe, arc, teaching.variance or None)
    ranker = rank(teaching.followed.first(RANKED))
    study = Study(space, ranker, BATCH, problem.seed, sampler)
    known = {trial.number: trial for trial in recorded}
    made = 0

    def evaluated(wanted: Sequence[Proposal], phase: str = "search") -> list[Trial]:
        """The trials of the proposals, in order: from the record where they are there, else measured now."""
        nonlocal made
        missing = [p for p in wanted if p.number not in known]
        pending = {pool.submit(evaluate.measure, sets[SEARCH][0], p.schedule): p for p in missing}
        made += len(wanted) - len(missing)
        try:
            for future in as_completed(pending):
                trial = _trial(pending[future], future, problem.noises * problem.nfe)
                known[trial.number] = trial
                record(trial)
                made += 1
                progress(phase, made, problem.budget)
        finally:
            for future in pending:
                future.cancel()
        return [known[p.number] for p in wanted]

    def offer(origin: str, schedules: Mapping[str, Schedule]) -> None:
        """Have these evaluated as the next trials, whatever the study would ask for."""
        following = range(len(study.trials), len(study.trials) + len(schedules))
        named = zip(following, schedules.items(), strict=True)
        for trial in evaluated([Proposal(number, s, f"{origin} {name}") for number, (name, s) in named]):
            study.add(trial)

    fits = min(MOST_FITS, problem.budget // 4)
    guided = problem.budget - fits
    hand_made = {name: schedule.canonical() for name, schedule in baselines(process, problem.nfe).items()}
    if len(hand_made) > guided // 2:  # at most half of the trials, those that physics alone forecasts to be the best
        order = np.argsort(ranker([], list(hand_made.values())).mean, kind="stable")[: max(guided // 2, 1)]
        hand_made = {name: hand_made[name] for name in np.array(list(hand_made))[order].tolist()}
    offer(BY_HAND, hand_made)
    if arc is not None:
        offer("seed", on_arc(arc, problem.nfe, study.trials, min(MOST_ON_ARC, (guided - len(hand_made)) // 4)))
    while len(study.trials) < guided:
        generation = range(len(study.trials), min(len(study.trials) + BATCH, guided))
        if all(number in known for number in generation):  # no need to rank again what was chosen before
            study.resume([known[number] for number in generation])
            made += len(generation)
            continue
        asked = study.ask(len(generation))
        if not asked:
            break
        study.tell(evaluated(asked))
    trials = study.trials
    if not any(trial.score for trial in trials[: len(hand_made)]):
        raise SearchFailed(f"none of {len(hand_made)} baselines could be evaluated; the last: {trials[-1].reason}")

    progress("fit", made, problem.budget)
    nested = [nest.split(seed) for seed in seeds][: fits // 2]
    polishes = polishing.count(problem) if fits > 2 else 0
    most = fits - polishes - len(nested)
    rows = refine(pool, space, refined, teaching.followed, trials, most, nested)
    late = [*((s, "nested") for s in nested), *((s, "fit") for s in rows)]
    fitted = evaluated([Proposal(len(trials) + i, *each) for i, each in enumerate(late)], "fit")
    spent = len(rows) * refined.count * problem.nfe
    if polishes:
        done = polishing.polished(pool, problem, fitted, refined, sets[VALIDATION], polishes, progress)
        begun = len(trials) + len(fitted)
        for i, (schedule, reason) in enumerate(done.outcomes):
            proposal = Proposal(begun + i, schedule, "polish")
            if reason is None:
                fitted += evaluated([proposal], "fit")
            elif proposal.number not in known:
                known[proposal.number] = Trial(proposal.number, schedule, None, "polish", reason=reason)
                made += 1
                record(known[proposal.number])
        spent += done.calls
    progress("fit", problem.budget, problem.budget)
    progress("confirm", 0, 1)
    last = confirm(problem, trials, fitted, hand_made, pool, sets, nested)
    progress("confirm", 1, 1)
    per_trial, evaluations = problem.noises * problem.nfe, len(trials) + len(fitted)
    return Result(
        problem=problem,
        schedule=last.schedule,
        score=last.score,
        baseline_name=last.baseline_name,
        baseline_schedule=last.baseline_schedule,
        baseline=last.baseline,
        ratio=last.ratio,
        ratio_low=last.ratio_low,
        ratio_high=last.ratio_high,
        teacher_error=teaching.error,
        calls=teaching.calls + (0 if arc is None else arc.calls) + evaluations * per_trial + spent + last.calls,
        evaluations=evaluations,
        seconds=time.monotonic() - began,
        passes=teaching.passes,
    )


class Teaching(NamedTuple):
    """What the teacher gave: trajectories for replay, its own distance to convergence, the calls it cost, how often a
    call passes the network; and the mean variance over the numbers of a clean sample, 0 for samples of one number."""

    followed: Trajectories
    error: float
    calls: int
    passes: int
    variance: float


def teach(pool: Pool, sets: Mapping[str, Sequence[NoiseSet]], followed: NoiseSet, progress: Progress) -> Teaching:
    """Have the teacher's ends made for every noise, and estimate their error by halving its calls on the first set.

    The whole trajectories of the noises ``followed`` are kept.
    """
    first = sets[SEARCH][0]
    paths = pool.submit(evaluate.follow, followed)
    halved = pool.submit(evaluate.teach, first, teacher.CALLS // 2)
    futures = [pool.submit(evaluate.teach, chunk, teacher.CALLS) for chunks in sets.values() for chunk in chunks]
    for i, _ in enumerate(as_completed(futures)):
        progress("teacher", i + 1, len(futures))
    if not np.all(np.isfinite(futures[0].result())):
        raise SearchFailed(f"the model's own samples after {teacher.CALLS} calls are not finite: check its weights")
    error = endpoint.score(endpoint.squared_errors(halved.result(), futures[0].result()), 0).value
    noises = sum(chunk.count for chunks in sets.values() for chunk in chunks)
    calls = noises * teacher.CALLS + first.count * (teacher.CALLS // 2) + followed.count * (teacher.CALLS + 1)
    clean = torch.from_numpy(futures[0].result())
    passes = pool.submit(evaluate.count_passes).result()
    return Teaching(paths.result(), error, calls, passes, pixel_variance(clean) if clean[0].numel() > 1 else 0.0)


def _trial(proposal: Proposal, future: Future[np.ndarray], calls: int) -> Trial:
    """The trial of a finished evaluation; one that could not be made, or that diverged, has no score but a reason."""
    score, reason = None, None
    try:
        errors = future.result()
        if np.all(np.isfinite(errors)):
            score = endpoint.score(errors, calls)
        else:
            reason = f"diverged on {int((~np.isfinite(errors)).sum())} of {len(errors)} noises"
    except WorkerLost as error:
        reason = str(error)
    return Trial(
        proposal.number,
        proposal.schedule,
        score,
        proposal.origin,
        proposal.predicted,
        proposal.predicted_std,
        reason,
    )
