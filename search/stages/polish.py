"""Polish: the best fitted schedules, moved by the gradient of the endpoint error through the sampler.

Times, network times and rows move together (`fewstep.search.optimize.descent`). Here is which schedules, how many
iterations, and what is said where there is no gradient or the error does not fall.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from fewstep.search.budget import Share
from fewstep.search.gaps import different
from fewstep.search.optimize import gradient_check
from fewstep.search.optimize.descent import CHUNK, FRAMED, TRIED, PolishFailed, Task, iteration, polish
from fewstep.search.stages import cross_fit, guidance
from fewstep.search.state import Batch, SearchState
from fewstep.values.origin import Origin
from fewstep.values.trial import Candidate, Rejected, Trial

__all__ = ["calls", "cost", "count", "most_calls", "obstacle", "propose", "trials"]

NAME, PROBE = "polish", "gradient check"
CALLS, MOST_CALLS = 250, 30_000  # for each evaluation of the budget, and in all; those of the time search among them
FEWEST_TRIALS = 3  # of the final stages, where there is a polish
FEWEST = 20  # iterations of a polish
JUDGES = ("mean", "typical", "trimmed", "saturating", "rms")  # objectives that a polish is measured by itself
MOST = 4  # schedules
BATCH = 8  # noises of an iteration: more iterations of fewer noises do better for the same calls


def cost(state: SearchState, left: Share) -> Share:
    """Its calls, beside those of the time search; as trials they are among those of the fit stage.

    The model's gradient is probed once the calls that are left are known.
    """
    room = calls(state, left)
    known = math.isfinite(left.calls) or state.problem.limits.calls is None
    if room > 0 and known and obstacle(state) is not None:
        room = 0
    return Share(0 if state.fits else state.problem.sizes.starts or 0, room)


def calls(state: SearchState, left: Share) -> int:
    """Network calls that polish and time search may take of what is left, without those of the time search's share.

    None where they are too few for a polish.
    """
    most = most_calls(state) - state.budget.share("time-search").calls
    if math.isinf(most) and math.isinf(left.calls):  # nobody knows yet what is left
        return 0
    room = int(min(most, left.calls + state.budget.spent(PROBE).calls) - gradient_check.PROBE_CALLS)
    limited = state.problem.limits.calls is not None
    return 0 if room <= 0 or (limited and count(state, room) == 0) else room


def most_calls(state: SearchState) -> float:
    """Network calls that polish, time search and the probe of the gradient may take at most; without a fit stage, all
    that is left."""
    if not state.fits:
        return math.inf
    enough = state.budget.share("fit").trials >= FEWEST_TRIALS
    return min(state.problem.budget * CALLS, MOST_CALLS) if enough else 0


def obstacle(state: SearchState) -> str | None:
    """Why the model has no true gradient, None where it has one; it is probed once, for a few calls."""
    if not state.budget.spent(PROBE).calls:
        state.budget.spend(PROBE, gradient_check.PROBE_CALLS)
        try:
            state.obstacle = state.pool.submit(gradient_check.obstacle).result()
        except Exception as error:
            state.obstacle = f"its gradient could not be probed: {str(error)[:200] or type(error).__name__}"
    return state.obstacle


def count(state: SearchState, calls: float) -> int:
    """How many schedules can be polished for so many network calls; 0 where they are too few for one."""
    most = state.problem.sizes.starts or min(1 + state.problem.budget // 1000, MOST)
    return next((n for n in range(most, 0, -1) if _iterations(state, calls, n) >= FEWEST), 0)


def trials(state: SearchState) -> int:
    """How many trials it will take; one that says why, where the model has no gradient."""
    if state.obstacle is not None:
        return 1
    return count(state, state.budget.share(NAME).calls) if state.may_begin(NAME) else 0


def propose(state: SearchState) -> Iterator[Batch]:
    """The best fitted schedules, polished; rejected where the error on their noises did not fall."""
    stages = state.final | {cross_fit.NAME, guidance.NAME}
    fitted = [t for t in state.trials if t.origin.stage in stages and t.score and state.allowed(t.schedule)]
    if not fitted or not trials(state):
        return
    fitted.sort(key=lambda trial: (trial.score.value if trial.score else 0.0, trial.number))
    if state.obstacle is not None:
        candidates: Sequence[Candidate | Rejected] = [_rejected(fitted[0], f"not polished: {state.obstacle}")]
    else:
        apart = different(np.stack([_place(state, trial) for trial in fitted]))
        candidates = _polished(state, [fitted[i] for i in apart[: trials(state)]])
    yield Batch.of(candidates, early_stopping=False)


def _place(state: SearchState, trial: Trial) -> np.ndarray:
    """Log λ-gaps of a trial, and its scales: what sets two of them apart."""
    return np.concatenate([state.space.logits(trial.schedule), trial.schedule.guidance or ()])


def _polished(state: SearchState, best: Sequence[Trial]) -> list[Candidate | Rejected]:
    """Each of the trials polished, unshifted, on the training noises.

    They are moved on all of these and judged by all: so few numbers do not overfit so many noises, and validation
    noises stay unseen for the selection.
    """
    train, allowed = state.split.train, state.budget.share(NAME).calls
    iterations, objective = _iterations(state, allowed, len(best)), state.problem.objective.metric
    loss, by = ("robust" if state.robust else "log"), (objective if objective in JUDGES else "typical")
    starts = [replace(trial.schedule, shift=None) for trial in best]
    tasks = [Task(start, train, train, iterations, BATCH, loss, by, state.problem.seed) for start in starts]
    keep = None if state.problem.sizes.starts is None else 1
    try:
        outcomes = polish(state.pool, tasks, lambda done, total: state.on.progress(NAME, done, total), keep)
    except PolishFailed as error:  # the search has its fitted schedules all the same
        return [_rejected(trial, f"not polished: {error}") for trial in best]
    candidates: list[Candidate | Rejected] = []
    for trial, outcome in zip(best, outcomes, strict=True):
        state.budget.spend(NAME, outcome.calls)
        if outcome.schedule is None:
            before = f"{outcome.before:.3g}"
            candidates.append(_rejected(trial, f"not lowered: on {train.count} noises the error stayed {before}"))
        else:
            candidates.append(Candidate(outcome.schedule, Origin(NAME)))
    return candidates


def _rejected(trial: Trial, reason: str) -> Rejected:
    return Rejected(Candidate(trial.schedule, Origin(NAME)), reason)


def _iterations(state: SearchState, calls: float, count: int) -> int:
    """For so many calls and schedules, with the looks at all noises; what every polish costs at its ends is taken off
    first. Where only one is kept, the others end after the first chunks."""
    nfe, noises = state.problem.nfe, state.split.train.count
    fixed = (min(FRAMED, noises) + 2 * noises) * nfe
    each = iteration(BATCH, nfe, state.teacher.size) + noises * nfe / CHUNK
    room = int((calls - count * fixed) / each)
    if state.problem.sizes.starts is None:
        return max(room // count, 0)

    def spent(iterations: int) -> int:
        tried = min(CHUNK * math.ceil(TRIED * iterations / CHUNK), iterations)
        return iterations + (count - 1) * tried

    return next((iterations for iterations in range(max(room, 0), 0, -1) if spent(iterations) <= room), 0)
