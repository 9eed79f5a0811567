"""Learned ranker: forecasts of log(score) from teacher trajectories, trials and transfer records.

One ranker serves all NFE of a model, so trials at one NFE help at another.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from fewstep.errors import InvalidInput
from fewstep.predictor.calibrate import milestone
from fewstep.predictor.correction import Correction, learn
from fewstep.predictor.dataset import EMPTY, Dataset, Table
from fewstep.predictor.train import ENOUGH, Model, calibrate, log_score, train
from fewstep.predictor.transfer import TransferRecord, readable
from fewstep.schedule import Schedule
from fewstep.trajectory import Trajectories
from fewstep.values.forecast import Forecasts
from fewstep.values.objective import DEFAULT
from fewstep.values.problem import Problem
from fewstep.values.trial import Trial

__all__ = ["Ranker", "ranker"]

Scored = tuple[tuple[Schedule, float], ...]  # with log scores
Records = tuple[TransferRecord, ...]
Evidence = tuple[Scored, Records]


class Ranker:
    """``rank(trials, schedules)``, a `fewstep.values.trial.Rank`, which also `fewstep.values.rankers.Transfers`.

    Schedules are compared with the trials of their own NFE; trials at other NFE and transfer records correct the
    physics forecast. Trials without a score are left out.
    """

    def __init__(
        self,
        trajectories: Trajectories,
        seed: int = 0,
        features: str = "all",
        transfer: Sequence[TransferRecord] = (),
        model: str = "",
    ) -> None:
        with threadpool_limits(1):  # one order of summation: the same forecast whatever the machine
            self._dataset = Dataset(trajectories, features)
        self._seed, self._features, self._model = seed, features, model
        self._at_other_nfe: dict[int, tuple[Scored, TransferRecord]] = {}  # by NFE, as the rest
        self._use(transfer)

    def __call__(self, trials: Sequence[Trial], schedules: Sequence[Schedule]) -> Forecasts:
        """Forecasts of log(score) of the schedules; raises `InvalidInput` for schedules of another process."""
        mean, std = np.zeros(len(schedules)), np.zeros(len(schedules))
        scored = [trial for trial in trials if trial.score is not None]
        with threadpool_limits(1):
            for nfe in sorted({schedule.nfe for schedule in schedules}):
                records = (*self._of_model, *self._from_trials(scored, nfe))
                if nfe not in self._corrections or self._corrections[nfe][0] != records:
                    self._corrections[nfe] = records, learn(records, self._of_others)
                model = self._train(_log_scores(scored, nfe), records, nfe)
                chosen = [i for i, schedule in enumerate(schedules) if schedule.nfe == nfe]
                mean[chosen], std[chosen] = model(self._table([schedules[i] for i in chosen]))
        return Forecasts(mean, std)

    def learn(self, records: Sequence[str]) -> None:
        """Use these transfer records (JSON) instead of those it has; records of another version are left out."""
        self._use(readable(records))

    def record(self, problem: Problem, trials: Sequence[Trial]) -> str | None:
        """The transfer record (JSON) of a search; None where none of its trials is fit for one."""
        try:
            record = self.transfer_record(trials, problem.metric)
        except InvalidInput:
            return None
        return replace(record, model=problem.model).to_json()

    def transfer_record(self, trials: Sequence[Trial], metric: str = DEFAULT) -> TransferRecord:
        """The transfer record of the scored trials of one search, less fitted schedules, which no forecast chose.

        Raises `InvalidInput` where no scored trial is left, where they differ in NFE, and for rankers of a feature set
        other than "all".
        """
        if self._features != "all":
            raise InvalidInput(
                f"a transfer record wants a ranker of feature set 'all', this one has {self._features!r}"
            )
        scored = [(t.schedule, log_score(t)) for t in trials if t.score is not None and t.schedule.fitted is None]
        lengths = sorted({schedule.nfe for schedule, _ in scored})
        if len(lengths) != 1:
            raise InvalidInput(f"a transfer record wants scored trials of one NFE, got {lengths or 'none'}")
        with threadpool_limits(1):
            table = self._dataset([schedule for schedule, _ in scored])
        deviations = np.array([score for _, score in scored]) - table.prior
        return TransferRecord.of(table.pooled, deviations, lengths[0], metric, self._model)

    def _use(self, transfer: Sequence[TransferRecord]) -> None:
        if transfer and self._features != "all":
            raise InvalidInput(
                f"transfer records want feature set 'all', got {self._features!r}: leave out one of them"
            )
        metrics = sorted({record.metric for record in transfer})
        if len(metrics) > 1:
            raise InvalidInput(
                f"transfer records want one metric, got {', '.join(metrics)}: pass those of the search's own"
            )
        self._of_model = tuple(record for record in transfer if self._model and record.model == self._model)
        self._of_others = tuple(record for record in transfer if not self._model or record.model != self._model)
        self._corrections: dict[int, tuple[Records, Correction]] = {}
        self._scales: dict[int, tuple[Evidence, float]] = {}
        self._fitted: dict[int, tuple[Evidence, Model]] = {}

    def _from_trials(self, scored: Sequence[Trial], nfe: int) -> list[TransferRecord]:
        """Records of the trials at other NFE than ``nfe``, renewed at milestones of their number."""
        records = []
        chosen = [trial for trial in scored if trial.schedule.fitted is None] if self._features == "all" else []
        for other in sorted({trial.schedule.nfe for trial in chosen} - {nfe}):
            trials = [trial for trial in chosen if trial.schedule.nfe == other]
            trials = trials[: milestone(len(trials), ENOUGH)]
            if trials:
                scores = _log_scores(trials, other)
                if other not in self._at_other_nfe or self._at_other_nfe[other][0] != scores:
                    self._at_other_nfe[other] = scores, self.transfer_record(trials)
                records.append(self._at_other_nfe[other][1])
        return records

    def _train(self, scored: Scored, records: Records, nfe: int) -> Model:
        """The model for ``nfe`` calls; that of the last forecast where the evidence is the same."""
        first = scored[: milestone(len(scored), ENOUGH)]
        if nfe not in self._scales or self._scales[nfe][0] != (first, records):
            self._scales[nfe] = (first, records), calibrate(*self._training_set(first), self._seed)
        if nfe not in self._fitted or self._fitted[nfe][0] != (scored, records):
            model = train(*self._training_set(scored), self._seed, self._scales[nfe][1])
            self._fitted[nfe] = (scored, records), model
        return self._fitted[nfe][1]

    def _training_set(self, scored: Scored) -> tuple[Table, np.ndarray]:
        """The table of scored schedules, and their log scores (n,)."""
        table = self._table([schedule for schedule, _ in scored]) if scored else EMPTY
        return table, np.array([score for _, score in scored])

    def _table(self, schedules: Sequence[Schedule]) -> Table:
        """The table of schedules of one NFE, with the correction by transfer records."""
        table = self._dataset(schedules)
        return table._replace(correction=self._corrections[schedules[0].nfe][1](table.pooled))


def _log_scores(trials: Sequence[Trial], nfe: int) -> Scored:
    return tuple((t.schedule, log_score(t)) for t in trials if t.score is not None and t.schedule.nfe == nfe)


def ranker(
    trajectories: Trajectories,
    seed: int = 0,
    features: str = "all",
    transfer: Sequence[TransferRecord] = (),
    model: str = "",
) -> Ranker:
    """A ranker from teacher trajectories: deterministic in its arguments and ``seed``, for any number of trials.

    ``features`` names the feature set (`fewstep.predictor.dataset`): "all", or less for comparison. ``transfer`` are
    records of other searches, of one metric; those whose ``model`` is this one's are trusted more than others, and all
    count as others where it is "". Raises `InvalidInput` for records that do not go together, `UnknownName` for an
    unknown feature set.
    """
    return Ranker(trajectories, seed, features, transfer, model)
