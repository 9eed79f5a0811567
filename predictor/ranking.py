"""The ranker of a search: forecasts from teacher trajectories, the trials at hand, and lessons of other searches."""

from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from fewstep.errors import InvalidInput
from fewstep.predictor.calibrate import milestone
from fewstep.predictor.correction import Correction, learn
from fewstep.predictor.dataset import NOTHING, Dataset, Table
from fewstep.predictor.lesson import Lesson
from fewstep.predictor.train import ENOUGH, Model, calibrate, log_score, train
from fewstep.schedule import Schedule
from fewstep.trajectory import Trajectories
from fewstep.values.forecast import Forecasts
from fewstep.values.trial import Trial

__all__ = ["Ranker", "ranker"]

Seen = tuple[tuple[Schedule, float], ...]
Lessons = tuple[Lesson, ...]
Known = tuple[Seen, Lessons]


class Ranker:
    """``rank(trials, candidates)``, a `fewstep.values.problem.Rank`; one for all numbers of calls of a model.

    Candidates are compared with the trials of their own number of calls; trials at other numbers of calls and the
    lessons correct what physics forecasts of them. Trials without a score are left out.
    """

    def __init__(
        self,
        trajectories: Trajectories,
        seed: int = 0,
        knowledge: str = "all",
        lessons: Sequence[Lesson] = (),
        model: str = "",
    ) -> None:
        if lessons and knowledge != "all":
            raise InvalidInput(f"lessons want knowledge 'all', got {knowledge!r}: leave out one of them")
        metrics = sorted({lesson.metric for lesson in lessons})
        if len(metrics) > 1:
            raise InvalidInput(f"lessons want one metric, got {', '.join(metrics)}: give those of the search's own")
        with threadpool_limits(1):  # one order of summation: the same forecast whatever the machine
            self._dataset = Dataset(trajectories, knowledge)
        self._seed, self._all, self._model = seed, knowledge == "all", model
        self._own = tuple(lesson for lesson in lessons if model and lesson.model == model)
        self._other = tuple(lesson for lesson in lessons if not model or lesson.model != model)
        self._taught: dict[int, tuple[Seen, Lesson]] = {}  # by number of calls, as the rest
        self._corrections: dict[int, tuple[Lessons, Correction]] = {}
        self._scales: dict[int, tuple[Known, float]] = {}
        self._fitted: dict[int, tuple[Known, Model]] = {}

    def __call__(self, trials: Sequence[Trial], candidates: Sequence[Schedule]) -> Forecasts:
        """Forecasts of log(score) of the candidates; raises `InvalidInput` for schedules of another process."""
        mean, std = np.zeros(len(candidates)), np.zeros(len(candidates))
        scored = [trial for trial in trials if trial.score is not None]
        with threadpool_limits(1):
            for nfe in sorted({candidate.nfe for candidate in candidates}):
                own = (*self._own, *self._at_hand(scored, nfe))
                if nfe not in self._corrections or self._corrections[nfe][0] != own:
                    self._corrections[nfe] = own, learn(own, self._other)
                model = self._train(_seen(scored, nfe), own, nfe)
                chosen = [i for i, candidate in enumerate(candidates) if candidate.nfe == nfe]
                mean[chosen], std[chosen] = model(self._table([candidates[i] for i in chosen]))
        return Forecasts(mean, std)

    def lesson(self, trials: Sequence[Trial], metric: str = "endpoint") -> Lesson:
        """What the scored trials of one search teach; fitted schedules are left out, as no forecast chose among them.

        Raises `InvalidInput` where no scored trial is left, where they differ in their number of calls, and for rankers
        of less knowledge than "all".
        """
        if not self._all:
            raise InvalidInput("a lesson wants a ranker of knowledge 'all'")
        seen = [(t.schedule, log_score(t)) for t in trials if t.score is not None and t.schedule.rows is None]
        lengths = sorted({schedule.nfe for schedule, _ in seen})
        if len(lengths) != 1:
            raise InvalidInput(f"a lesson wants scored trials of one number of calls, got {lengths or 'none'}")
        with threadpool_limits(1):
            table = self._dataset([schedule for schedule, _ in seen])
        deviations = np.array([score for _, score in seen]) - table.prior
        return Lesson.of(table.pooled, deviations, lengths[0], metric, self._model)

    def _at_hand(self, scored: Sequence[Trial], nfe: int) -> list[Lesson]:
        """Lessons of the trials at other numbers of calls than ``nfe``, renewed at milestones of their number."""
        lessons = []
        chosen = [trial for trial in scored if trial.schedule.rows is None] if self._all else []
        for other in sorted({trial.schedule.nfe for trial in chosen} - {nfe}):
            known = [trial for trial in chosen if trial.schedule.nfe == other]
            known = known[: milestone(len(known), ENOUGH)]
            if known:
                if other not in self._taught or self._taught[other][0] != _seen(known, other):
                    self._taught[other] = _seen(known, other), self.lesson(known)
                lessons.append(self._taught[other][1])
        return lessons

    def _train(self, seen: Seen, own: Lessons, nfe: int) -> Model:
        """The model for ``nfe`` calls, that of the last question where nothing has changed."""
        first = seen[: milestone(len(seen), ENOUGH)]
        if nfe not in self._scales or self._scales[nfe][0] != (first, own):
            self._scales[nfe] = (first, own), calibrate(*self._known(first), self._seed)
        if nfe not in self._fitted or self._fitted[nfe][0] != (seen, own):
            self._fitted[nfe] = (seen, own), train(*self._known(seen), self._seed, self._scales[nfe][1])
        return self._fitted[nfe][1]

    def _known(self, seen: Seen) -> tuple[Table, np.ndarray]:
        """What is known of seen schedules, and their log scores (n,)."""
        table = self._table([schedule for schedule, _ in seen]) if seen else NOTHING
        return table, np.array([score for _, score in seen])

    def _table(self, schedules: Sequence[Schedule]) -> Table:
        """The table of schedules of one number of calls, with what the lessons add."""
        table = self._dataset(schedules)
        return table._replace(correction=self._corrections[schedules[0].nfe][1](table.pooled))


def _seen(trials: Sequence[Trial], nfe: int) -> Seen:
    return tuple((t.schedule, log_score(t)) for t in trials if t.score is not None and t.schedule.nfe == nfe)


def ranker(
    trajectories: Trajectories,
    seed: int = 0,
    knowledge: str = "all",
    lessons: Sequence[Lesson] = (),
    model: str = "",
) -> Ranker:
    """A rank from teacher trajectories: deterministic in its arguments and ``seed``, for any number of trials.

    ``knowledge`` names the features it may use (`fewstep.predictor.dataset`): "all", or less for comparison.
    ``lessons`` are what other searches taught, of one metric; those whose ``model`` is this one's are trusted more than
    others, for which "" stands where nobody knows. Raises `InvalidInput` for lessons that do not go together.
    """
    return Ranker(trajectories, seed, knowledge, lessons, model)
