"""The search of one problem: teacher, stages over one state and one budget, selection, test.

A run is a function of the problem and of the outcomes of its trials, so it can be stopped at any time and started again
with the trials that were recorded: it asks for the same ones and evaluates only those that are missing. (A limit of
seconds makes it a function of the clock as well.)
"""

import hashlib
import time
from collections.abc import Sequence

from fewstep.errors import InvalidInput, SearchFailed
from fewstep.processes import Process
from fewstep.search.budget import ON_TEST, Budget
from fewstep.search.evaluation import evaluator
from fewstep.search.evaluation.early_stopping import Evaluation
from fewstep.search.evaluation.guidance import PROBE_CALLS, Guidance, probe
from fewstep.search.evaluation.noises import NoiseSplit, joined
from fewstep.search.evaluation.pool import Pool
from fewstep.search.evaluation.targets import prepare_teacher
from fewstep.search.log import Callbacks, TrialLog, WarmStart
from fewstep.search.space import Space
from fewstep.search.stages import selection
from fewstep.search.state import Batch, SearchState
from fewstep.values.cost_card import check_limit, selection_calls, teacher_calls
from fewstep.values.problem import Problem
from fewstep.values.rankers import RankFactory
from fewstep.values.result import Cost, Result, StageReport
from fewstep.values.stages import BOUNDED, BUILT_IN, GUIDED, STAGES, Stage, order
from fewstep.values.trial import Rejected

__all__ = ["of_effort", "owner_of", "run"]

RANKED = 24  # training noises on which the ranker replays candidates


def run(
    problem: Problem,
    process: Process,
    pool: Pool,
    rank: RankFactory,
    *,
    log: TrialLog = TrialLog(),
    warm: WarmStart = WarmStart(),
    on: Callbacks = Callbacks(),
    stages: Sequence[Stage] = (),
    early_stopping: bool = True,
) -> Result:
    """Search, select, report; returns the `Result`.

    ``log`` holds the trials of an interrupted run: replaying it is how a run resumes. ``stages`` are those to run, by
    default those of the problem's effort; without ``early_stopping`` every trial meets all noises. Raises
    `SearchFailed` where nothing could be evaluated or the limits leave no room; an exception raised by a callback
    ends the run.
    """
    split, owner = NoiseSplit.of(problem), owner_of(problem)
    _check_limit(problem)
    budget = Budget(problem.budget, problem.limits, log.elapsed)
    budget.reserve("selection", selection_calls(problem))
    teacher = prepare_teacher(pool, split, owner, on.progress)
    budget.spend("teacher", teacher_calls(problem), made=teacher.calls)
    guidance = _guidance(problem, pool, budget, teacher.passes)
    metrics = pool.submit(evaluator.metrics_of, problem.objectives).result()
    space = Space(process, problem.nfe, variance=teacher.variance or None)
    ranker = rank(teacher.trajectories.first(RANKED))
    ahead = list(order(stages or of_effort(problem)))
    if guidance is not None:
        ahead = [stage for stage in ahead if stage.name in BOUNDED or stage.name not in BUILT_IN]
    final = frozenset(stage.name for stage in ahead if stage.final)
    state = SearchState(
        problem, split, pool, budget, teacher, metrics, space, ranker, log, warm, on, final, guidance, owner
    )
    pieces = split.search if early_stopping else (joined(split.search),)
    evaluate = Evaluation(pool, problem, pieces, metrics[0], log, on)

    reports = list[StageReport]()
    fixed = any(stage.cost is None for stage in ahead)  # once that stage has taken the rest, shares stay as they are
    while ahead:
        if not reports or not fixed or any(stage.cost is None for stage in ahead):
            budget.plan(ahead, state)
        stage = ahead.pop(0)
        reports.append(_work(stage, state, evaluate))

    on.progress(stage.phase, problem.budget, problem.budget)
    on.progress("confirm", 0, 1)
    tested = selection.test(state, selection.choose(state), owner)
    on.progress("confirm", 1, 1)
    cost = Cost(
        budget.made(),
        budget.trials,
        budget.elapsed,
        teacher.passes,
        tuple(reports),
        test_calls=budget.made(ON_TEST),
        shared_calls=budget.shared,
    )
    return Result(problem, **tested._asdict(), cost=cost, ended=state.ended, front=state.front)


def of_effort(problem: Problem) -> list[Stage]:
    """The stages of a problem's effort; where it runs the whole search, those that packages add as well."""
    names = problem.sizes.stages
    if GUIDED in names:
        names += tuple(name for name in STAGES if name not in BUILT_IN)
    return [STAGES[name] for name in names]


def owner_of(problem: Problem) -> str:
    """The name under which a search leaves behind what its teacher did, and pays for it."""
    return hashlib.sha256(repr(problem).encode()).hexdigest()


def _guidance(problem: Problem, pool: Pool, budget: Budget, passes: int) -> Guidance | None:
    """The model's guidance where the problem's bound of passes asks that calls go without; raises `SearchFailed` where
    the model has none to leave out, or where the bound cannot be kept even so."""
    most = problem.max_passes
    if most is None or most >= problem.nfe * passes:
        return None
    budget.spend("teacher", PROBE_CALLS)
    found = pool.submit(probe).result()
    least = problem.nfe * (found.unguided if found else passes)
    if most < least:
        without = "without guidance" if found else "and has no guidance to leave out"
        raise SearchFailed(
            f"the model takes {least} passes for {problem.nfe} calls {without}, and {most} are allowed: allow more, or "
            "ask for fewer calls"
        )
    return found


def _check_limit(problem: Problem) -> None:
    try:
        check_limit(problem)
    except InvalidInput as error:
        raise SearchFailed(str(error)) from error


def _work(stage: Stage, state: SearchState, evaluate: Evaluation) -> StageReport:
    """Evaluate the batches of one stage, until it has no more or the budget has no room for the next."""
    began, before, count = time.monotonic(), state.best, len(state.trials)
    state.on.progress(stage.phase, count, state.problem.budget)
    for batch in stage(state):
        reason = _stops(stage, batch, state)
        if reason is None:
            first, calls, saved = len(state.trials), evaluate.calls, evaluate.saved
            recorded = state.log.batch(first, batch.count, stage) if batch.on_demand else []
            candidates = [trial.candidate for trial in recorded] or batch.make()
            trials = evaluate(candidates, first, stage.phase, state.incumbent, batch.early_stopping)
            state.trials += trials
            evaluations = sum(not isinstance(candidate, Rejected) for candidate in candidates)
            booked = evaluate.calls - calls
            state.budget.spend(stage.name, booked, evaluations, made=booked - (evaluate.saved - saved))
            reason = None if trials else "space"
        if reason is not None:
            if stage.cost is None:
                state.ended = reason
            break
    if state.trials and not any(trial.score for trial in state.trials):
        last = state.trials[-1].reason
        raise SearchFailed(f"none of {len(state.trials)} {stage.label} could be evaluated; the last: {last}")
    spent = state.budget.spent(stage.name)
    seconds = time.monotonic() - began
    return StageReport(stage.name, spent.trials, int(spent.calls), seconds, before, state.best)


def _stops(stage: Stage, batch: Batch, state: SearchState) -> str | None:
    """What ends a stage before its next batch, if anything.

    What an earlier run began is always taken up again, whatever the clock says by now, and what it cut off stays so.
    Final stages have their shares, and the first batch of all has what the search wanted before it began.
    """
    if stage.final or not state.trials:
        return None
    recorded = state.log.get(len(state.trials))
    if recorded is not None and recorded.origin.stage == stage.name:
        return None
    reason = state.budget.stops(stage, batch.count * state.calls_of_trial)
    if reason is None and recorded is not None:
        return "space" if state.problem.limits.seconds is None else "seconds"
    return reason
