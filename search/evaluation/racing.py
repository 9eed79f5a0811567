"""Trials, measured in pieces: one that loses to the best on the first piece is given up, and costs no more than that.

On the first noises a proposal races against the best trial so far. Where it is worse there and the difference is no
chance (`loses`), its score is that of the first noises. To correct it by the best's own scores on first and all noises
was tried, as a factor and as a difference: a good trial's error is that of its few worst noises, which are or are not
among the first, so the correction adds more error than it takes away.
"""

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

import numpy as np

from fewstep.errors import SearchFailed
from fewstep.search.evaluation import evaluator as evaluate
from fewstep.search.evaluation.noises import NoiseSet
from fewstep.search.evaluation.pool import Pool, WorkerLost
from fewstep.search.metrics.base import Metric, value
from fewstep.search.metrics.bootstrap import difference_error, score
from fewstep.search.samplers.base import Proposal
from fewstep.values.problem import Problem, Score, Trial

__all__ = ["Race", "best_of", "loses"]

SURE = 1.645  # standard errors: 5 % of the normal law, one-sided
RESAMPLES = 50  # for the standard error of a trial, whose score is not published

Told = Callable[[str, int, int], None]


def loses(metric: Metric, rows: np.ndarray, best: np.ndarray) -> bool:
    """Whether rows (n, F) are worse than the best's on the same noises, and not by chance: the paired difference beside
    its standard error.

    Not Wilcoxon's signed-rank test of paired errors: it asks about the usual noise, where the error is that of the few
    worst, and gave up schedules that were better on the whole.
    """
    worse = value(metric, rows) - value(metric, best)
    return worse > 0 and worse > SURE * difference_error(metric, rows, best)


def best_of(trials: Sequence[Trial], noises: int) -> Trial | None:
    """The best trial that was measured on all noises, of equals the first."""
    whole = [t for t in trials if t.score is not None and t.score.noises == noises]
    return min(whole, key=lambda t: (t.score.value if t.score else np.inf, t.number), default=None)


class Race:
    """Measures proposals on the noises ``pieces`` by ``metric``; ``known`` are the trials there are, by number.

    ``record`` is called once for every new trial, ``told`` with (phase, trials so far, budget) after it.
    """

    def __init__(
        self,
        pool: Pool,
        problem: Problem,
        pieces: Sequence[NoiseSet],
        metric: Metric,
        record: Callable[[Trial], None],
        recorded: Sequence[Trial],
        told: Told,
    ) -> None:
        self._pool, self._problem, self._pieces, self._metric = pool, problem, pieces, metric
        self._record, self._told = record, told
        self.known = {trial.number: trial for trial in recorded}
        self.made = self.calls = self.failures = 0
        self._firsts: dict[int, np.ndarray] = {}  # rows on the first piece, by number

    def __call__(
        self, wanted: Sequence[Proposal], phase: str, rival: Trial | None = None, among: bool = False
    ) -> list[Trial]:
        """The trials of the proposals, in order: from the record where they are there, else measured now.

        With ``rival`` they race against that trial; without, if ``among`` is true, against the best of them on the
        first piece. Raises `SearchFailed` where more fail than the problem allows.
        """
        missing = [p for p in wanted if p.number not in self.known]
        races = len(missing) > 0 and len(self._pieces) > 1
        against = self._rival(rival) if races else None
        running = {self._submit(p, 0): (p, list[np.ndarray]()) for p in missing}
        try:
            if races and among and rival is None:
                again = [self._submit(p, 0) for p in wanted if p.number in self.known]  # after a restart
                against = self._leader([*running, *again])
            for proposal in wanted:
                if proposal.number in self.known:
                    self._count(self.known[proposal.number])
            while running:
                done = wait(running, return_when=FIRST_COMPLETED).done
                for future in sorted(done, key=lambda each: running[each][0].number):
                    proposal, rows = running.pop(future)
                    trial = self._finished(proposal, rows, future, against)
                    if trial is None:
                        running[self._submit(proposal, len(rows))] = proposal, rows
                    else:
                        self._keep(trial, phase)
        finally:
            for future in running:
                future.cancel()
        trials = [self.known[p.number] for p in wanted]
        best = best_of([t for t in (*trials, rival) if t is not None], self._problem.noises)
        self._firsts = {n: rows for n, rows in self._firsts.items() if best is not None and n == best.number}
        return trials

    def add_failed(self, trial: Trial) -> None:
        """Record a trial that could not be made, and cost nothing here."""
        if trial.number not in self.known:
            self.known[trial.number] = trial
            self._record(trial)
        self.made += 1

    def _submit(self, proposal: Proposal, piece: int) -> Future[list[np.ndarray]]:
        noises, measure = self._pieces[piece], self._problem.measure
        return self._pool.submit(evaluate.observe, noises, proposal.schedule, [measure])

    def _rival(self, trial: Trial | None) -> np.ndarray | None:
        """The rows of the trial to race against on the first piece."""
        if trial is None or trial.score is None:
            return None
        if trial.number not in self._firsts:  # after a restart its rows are gone, and are measured again
            made = self._submit(Proposal(trial.number, trial.schedule, trial.origin), 0).result()
            self._firsts[trial.number] = made[0]
        return self._firsts[trial.number]

    def _leader(self, futures: Sequence[Future[list[np.ndarray]]]) -> np.ndarray | None:
        """The best rows on the first piece, of those that came back finite."""
        found = list[np.ndarray]()
        for future in futures:
            with contextlib.suppress(WorkerLost):
                found.extend(rows for rows in future.result() if np.isfinite(rows).all())
        return min(found, key=lambda rows: value(self._metric, rows), default=None)

    def _finished(
        self, proposal: Proposal, rows: list[np.ndarray], future: Future[list[np.ndarray]], against: np.ndarray | None
    ) -> Trial | None:
        """The trial, or None where the next piece is wanted; ``rows`` takes what the last one gave."""
        try:
            rows.extend(future.result())
        except WorkerLost as error:
            return self._trial(proposal, None, str(error))
        together = np.concatenate(rows)
        finite = np.isfinite(together).all(axis=1)
        if len(rows) < len(self._pieces):
            self._firsts[proposal.number] = rows[0]
            if not finite.all() or against is None or not loses(self._metric, together, against):
                return None
            return self._trial(proposal, self._score(together))
        if not finite.all():
            return self._trial(proposal, None, f"diverged on {int((~finite).sum())} of {len(finite)} noises")
        return self._trial(proposal, self._score(together))

    def _score(self, rows: np.ndarray) -> Score:
        return score(self._metric, rows, len(rows) * self._problem.nfe, times=RESAMPLES)

    def _trial(self, proposal: Proposal, found: Score | None, reason: str | None = None) -> Trial:
        number, schedule, origin, predicted, std = proposal
        return Trial(number, schedule, found, origin, predicted, std, reason)

    def _keep(self, trial: Trial, phase: str) -> None:
        self.known[trial.number] = trial
        self._record(trial)
        self._count(trial)
        self._told(phase, self.made, self._problem.budget)

    def _count(self, trial: Trial) -> None:
        self.made += 1
        self.calls += trial.score.calls if trial.score else self._problem.noises * self._problem.nfe
        if trial.score is None:
            self.failures += 1
            most = self._problem.limits.failures
            if most is not None and self.failures > most:
                raise SearchFailed(
                    f"{self.failures} of {self.made} trials failed, and {most} may; the last one: {trial.reason}"
                )
