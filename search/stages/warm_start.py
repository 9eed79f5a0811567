"""Warm start: the best schedules of one call less, each with a call more that leaves its samples as they are.

The longest step in λ is cut in two. A first-order step leads to the new time; the call there has no weight in any later
row, until a fit or a polish gives it one. So the best schedule of N calls is never worse than the best of N − 1.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

import fewstep
from fewstep import Schedule, Step, Tableau
from fewstep.search.budget import Share
from fewstep.search.evaluation.guidance import UNGUIDED
from fewstep.search.gaps import log_snrs
from fewstep.search.stages.fit import final_trials
from fewstep.search.state import Batch, SearchState
from fewstep.values.origin import Origin
from fewstep.values.trial import Candidate

__all__ = ["cost", "propose", "split"]

NAME = "warm-start"
MOST = 2  # schedules, where there is no fit stage


def cost(state: SearchState, left: Share) -> Share:
    """Nothing where there is a fit stage, among whose trials these are; else those of a few trials."""
    if state.fits:
        return Share(0, 0)
    room = max(left.calls, 0) // state.calls_of_trial
    count = int(min(MOST, len(state.warm.schedules), max(left.trials, 0), room))
    return Share(count, count * state.calls_of_trial)


def propose(state: SearchState) -> Iterator[Batch]:
    """The schedules as they are, at most half of the trials of the final stages."""
    most = final_trials(state) // 2 if state.fits else state.budget.share(NAME).trials
    schedules = [each for each in map(split, state.warm.schedules) if state.allowed(each)][:most]
    if schedules:
        candidates = [Candidate(schedule, Origin(NAME)) for schedule in schedules]
        yield Batch.of(candidates, early_stopping=False)


def split(schedule: Schedule) -> Schedule:
    """The schedule with its longest λ-gap halved, its samples unchanged; nfe + 1 calls, the new one without guidance
    where the others have scales.

    >>> from fewstep import processes, solvers
    >>> split(solvers.named("dpmpp-2m").schedule(processes.VPLinear(), nfe=4)).nfe
    5
    """
    tableau, process = fewstep.compile(schedule), schedule.process
    lam = log_snrs(process, tableau.times)
    i = int(np.argmax(np.diff(lam)))  # the new state lies between states i and i + 1
    time = float(process.time(np.float64(0.5 * (lam[i] + lam[i + 1]))))
    times = np.insert(tableau.times, i + 1, time)
    alpha, sigma = process.alpha(times[[i, i + 1]]), process.sigma(times[[i, i + 1]])
    ratio = float(sigma[1] / sigma[0])

    before = np.concatenate([[1.0], tableau.start])[i], np.vstack([np.zeros(tableau.calls), tableau.outputs])[i]
    row = ratio * before[1]
    row[i] += alpha[1] - ratio * alpha[0]
    noise = ratio * np.vstack([np.zeros(tableau.noise.shape[1]), tableau.noise])[i]
    outputs = np.insert(np.insert(tableau.outputs, i, row, axis=0), i + 1, 0.0, axis=1)
    rows = Tableau(
        times,
        np.insert(tableau.network_times, i + 1, time),
        np.insert(tableau.start, i, ratio * before[0]),
        outputs,
        np.insert(tableau.noise, i, noise, axis=0),
        None if tableau.guidance is None else np.insert(tableau.guidance, i + 1, UNGUIDED),
    )
    stays = np.diff(times) == 0.0  # a step from further back may end where the last one did
    steps = tuple(Step(start=-2) if stay else Step() for stay in stays)
    guidance = None if rows.guidance is None else tuple(rows.guidance.tolist())
    return replace(schedule, times=tuple(times.tolist()), steps=steps, fitted=rows, guidance=guidance).canonical()
