"""Evaluation of candidates with early stopping: one that is significantly worse than the incumbent on the first quarter
of the noises is stopped there.

Significantly: by a one-sided paired test at the 5 % level (`worse`). The score of a stopped trial is that of the first
noises, uncorrected; `docs/decisions` says why neither a correction nor a rank test is used.
"""

import contextlib
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field

import numpy as np

from fewstep.errors import SearchFailed
from fewstep.search.evaluation import evaluator
from fewstep.search.evaluation.batches import observe_all
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.evaluation.pool import Pool, WorkerLost
from fewstep.search.log import Callbacks, TrialLog
from fewstep.search.metrics.base import Metric
from fewstep.search.metrics.bootstrap import difference_error, score
from fewstep.values.problem import Problem
from fewstep.values.trial import Candidate, Observed, Rejected, Trial

__all__ = ["Evaluation", "worse"]

CRITICAL = 1.645  # standard errors: 5 % of the normal law, one-sided
RESAMPLES = 50  # for the standard error of a trial, whose score is not published


def worse(metric: Metric, observations: np.ndarray, incumbent: np.ndarray) -> bool:
    """Whether observations (n, F) are worse than the incumbent's on the same noises at the 5 % level: the paired
    difference of the metric beside its jackknife standard error."""
    difference = metric.value(observations) - metric.value(incumbent)
    return difference > 0 and difference > CRITICAL * difference_error(metric, observations, incumbent)


@dataclass
class _Run:
    """A candidate that is being evaluated, with its observations (n_i, F) on the pieces so far."""

    number: int
    candidate: Candidate
    observations: list[np.ndarray] = field(default_factory=list)


class Evaluation:
    """Evaluates candidates by ``metric`` on the noises ``pieces``, the first of which decides on early stopping.

    Trials that the ``log`` has are taken from there; ``on.trial`` is called once for every new one, and ``on.progress``
    with (phase, trials so far, budget) after it.
    """

    def __init__(
        self,
        pool: Pool,
        problem: Problem,
        pieces: Sequence[NoiseSet],
        metric: Metric,
        log: TrialLog = TrialLog(),
        on: Callbacks = Callbacks(),
    ) -> None:
        self._pool, self._problem, self._pieces, self._metric = pool, problem, pieces, metric
        self._log, self._on = log, on
        self.calls = 0  # network calls so far; a trial that failed counts as one on all noises
        self.saved = 0  # of these calls, what schedules that were evaluated side by side had in common
        self._done = self._failures = 0
        self._first_piece: dict[int, np.ndarray] = {}  # observations there, by the number of the trial

    def __call__(
        self,
        candidates: Sequence[Candidate | Observed | Rejected],
        first: int,
        phase: str = "search",
        incumbent: Trial | None = None,
        early_stopping: bool = True,
    ) -> list[Trial]:
        """The trials of the candidates, in their order, numbered from ``first``.

        With early stopping they are compared with the ``incumbent`` or, where there is none yet, with the best of them
        on the first piece. Raises `SearchFailed` where more fail than the problem allows.
        """
        self._keep_observations_of(incumbent)
        trials: dict[int, Trial] = {}
        waiting, recorded = list[_Run](), list[Candidate]()
        for number, item in enumerate(candidates, first):
            candidate = item if isinstance(item, Candidate) else item.candidate
            known = self._log.get(number)
            if known is not None:
                recorded.append(candidate)
                trials[number] = known
                self._count(known, evaluated=not isinstance(item, Rejected))
            elif isinstance(item, Observed):
                trials[number] = self._keep(self._measured(number, candidate, item.observations, item.calls), phase)
            elif isinstance(item, Rejected):
                trials[number] = self._keep(Trial(number, candidate, None, item.reason), phase, evaluated=False)
            else:
                waiting.append(_Run(number, candidate))
        compare = early_stopping and len(self._pieces) > 1 and len(waiting) > 0
        best = self._observations_of(incumbent) if compare else None
        running = self._submitted(waiting)
        try:
            if compare and incumbent is None:
                best = self._leader([*running, *self._submit(recorded, 0)])
            while running:
                done, following = wait(running, return_when=FIRST_COMPLETED).done, list[_Run]()
                for future in sorted(done, key=lambda each: running[each].number):
                    run = running.pop(future)
                    trial = self._finished(run, future, best)
                    if trial is None:
                        following.append(run)
                    else:
                        trials[trial.number] = self._keep(trial, phase)
                running |= self._submitted(following)
        finally:
            for future in running:
                future.cancel()
        return [trials[number] for number in sorted(trials)]

    def _submitted(self, runs: Sequence[_Run]) -> dict[Future[list[np.ndarray]], _Run]:
        """The next piece of each run, under way."""
        running: dict[Future[list[np.ndarray]], _Run] = {}
        for piece in sorted({len(run.observations) for run in runs}):
            same = [run for run in runs if len(run.observations) == piece]
            running |= zip(self._submit([run.candidate for run in same], piece), same, strict=True)
        return running

    def _submit(self, candidates: Sequence[Candidate], piece: int) -> list[Future[list[np.ndarray]]]:
        """The observations of each candidate on a piece: one task each, or one for all where no slot would idle."""
        noises, objectives = self._pieces[piece], [self._problem.objective]
        schedules = [candidate.schedule for candidate in candidates]
        if not schedules or not getattr(self._pool, "side_by_side", False):
            return [self._pool.submit(evaluator.observe, noises, schedule, objectives) for schedule in schedules]
        parts = [Future[list[np.ndarray]]() for _ in schedules]

        def hand_out(task: Future[tuple[list[list[np.ndarray]], int]]) -> None:
            error = task.exception()
            if error is not None:
                for part in parts:
                    part.set_exception(error)
                return
            observations, saved = task.result()
            self.saved += saved
            for part, each in zip(parts, observations, strict=True):
                part.set_result(each)

        self._pool.submit(observe_all, noises, schedules, objectives).add_done_callback(hand_out)
        return parts

    def _keep_observations_of(self, incumbent: Trial | None) -> None:
        number = None if incumbent is None else incumbent.number
        self._first_piece = {n: each for n, each in self._first_piece.items() if n == number}

    def _observations_of(self, incumbent: Trial | None) -> np.ndarray | None:
        """The incumbent's observations on the first piece; after a restart they are made again."""
        if incumbent is None or incumbent.score is None:
            return None
        if incumbent.number not in self._first_piece:
            self._first_piece[incumbent.number] = self._submit([incumbent.candidate], 0)[0].result()[0]
        return self._first_piece[incumbent.number]

    def _leader(self, futures: Sequence[Future[list[np.ndarray]]]) -> np.ndarray | None:
        """The best observations on the first piece, of those that are finite."""
        finite = list[np.ndarray]()
        for future in futures:
            with contextlib.suppress(WorkerLost):
                finite.extend(each for each in future.result() if np.isfinite(each).all())
        return min(finite, key=self._metric.value, default=None)

    def _finished(self, run: _Run, future: Future[list[np.ndarray]], best: np.ndarray | None) -> Trial | None:
        """The trial, or None where the next piece is to follow."""
        try:
            run.observations.extend(future.result())
        except WorkerLost as error:
            return Trial(run.number, run.candidate, None, str(error))
        together = np.concatenate(run.observations)
        if len(run.observations) < len(self._pieces):
            self._first_piece[run.number] = run.observations[0]
            if not np.isfinite(together).all() or best is None or not worse(self._metric, together, best):
                return None
        return self._measured(run.number, run.candidate, together, len(together) * self._problem.nfe)

    def _measured(self, number: int, candidate: Candidate, observations: np.ndarray, calls: int) -> Trial:
        """The trial of observations (n, F) that cost so many calls."""
        diverged = int((~np.isfinite(observations).all(axis=1)).sum())
        if diverged:
            return Trial(number, candidate, None, f"diverged on {diverged} of {len(observations)} noises")
        return Trial(number, candidate, score(self._metric, observations, calls, times=RESAMPLES))

    def _keep(self, trial: Trial, phase: str, evaluated: bool = True) -> Trial:
        self._on.trial(trial)
        self._count(trial, evaluated)
        self._on.progress(phase, self._done, self._problem.budget)
        return trial

    def _count(self, trial: Trial, evaluated: bool) -> None:
        """Count the trial and its calls, and hold failed evaluations against the limit."""
        self._done += 1
        if not evaluated:
            return
        self.calls += trial.score.calls if trial.score else self._problem.noises * self._problem.nfe
        if trial.score is not None:
            return
        self._failures += 1
        most = self._problem.limits.failures
        if most is not None and self._failures > most:
            raise SearchFailed(
                f"{self._failures} of {self._done} trials failed, and {most} may; the last one: {trial.reason}"
            )
