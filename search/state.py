"""What the stages of a search work on: the problem, what the teacher gave, the trials so far, the budget.

A stage is a generator over the state: it yields a `Batch`, and finds its trials at the end of ``state.trials`` when it
goes on. `fewstep.values.stages` has their table, `docs/extending.md` a small one to begin with.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fewstep import Schedule
from fewstep.search.budget import Budget
from fewstep.search.evaluation.guidance import UNGUIDED, Guidance
from fewstep.search.evaluation.noises import NoiseSplit
from fewstep.search.evaluation.pool import Pool
from fewstep.search.evaluation.targets import Teacher
from fewstep.search.log import Callbacks, TrialLog, WarmStart
from fewstep.search.metrics.base import Metric
from fewstep.search.space import Space
from fewstep.values.cost_card import BATCH
from fewstep.values.forecast import Forecasts
from fewstep.values.problem import Problem
from fewstep.values.result import FrontPoint
from fewstep.values.trial import Candidate, Observed, Rank, Rejected, Trial

__all__ = ["BATCH", "Batch", "SearchState"]


@dataclass(frozen=True)
class Batch:
    """Up to ``count`` candidates to evaluate side by side, made on demand: not at all where the log has their trials.

    With ``early_stopping`` each is compared with the incumbent on the first noises; without, it meets all.
    """

    count: int
    make: Callable[[], Sequence[Candidate | Observed | Rejected]]
    early_stopping: bool = True
    on_demand: bool = True

    @classmethod
    def of(cls, candidates: Sequence[Candidate | Observed | Rejected], early_stopping: bool = True) -> "Batch":
        """Candidates that are there already."""
        return cls(len(candidates), lambda: candidates, early_stopping, on_demand=False)


@dataclass
class SearchState:
    """One search on its way.

    ``ranker(trials, schedules)`` forecasts scores by the teacher's trajectories · ``final`` are the names of the final
    stages, all of whose trials are finalists · ``guidance`` is the model's, where passes are bounded · ``owner`` pays
    for what a teacher does · ``obstacle`` says why the model has no true gradient, once it was probed
    · ``ended`` says why there were no more trials.
    """

    problem: Problem
    split: NoiseSplit
    pool: Pool
    budget: Budget
    teacher: Teacher
    metrics: Sequence[Metric]
    space: Space
    ranker: Rank
    log: TrialLog
    warm: WarmStart
    on: Callbacks
    final: frozenset[str] = frozenset()
    guidance: Guidance | None = None
    owner: str = ""
    trials: list[Trial] = field(default_factory=list)
    obstacle: str | None = None
    ended: str = "budget"

    @property
    def calls_of_trial(self) -> int:
        """Network calls of a trial on all noises."""
        return self.problem.noises * self.problem.nfe

    @property
    def bounded(self) -> bool:
        """Whether some calls have to go without guidance."""
        most = self.problem.max_passes
        return self.guidance is not None and most is not None and most < self.problem.nfe * self.teacher.passes

    @property
    def guided_calls(self) -> int:
        """How many calls may have guidance."""
        nfe, most, guidance = self.problem.nfe, self.problem.max_passes, self.guidance
        if most is None or guidance is None:
            return nfe
        return min((most - nfe * guidance.unguided) // (guidance.passes - guidance.unguided), nfe)

    def passes(self, schedule: Schedule) -> int:
        """Network passes of one sampling run of a schedule, for one sample."""
        if schedule.guidance is None or self.guidance is None:
            return schedule.nfe * self.teacher.passes
        each = self.guidance
        return sum(each.unguided if scale == UNGUIDED else each.passes for scale in schedule.guidance)

    def allowed(self, schedule: Schedule) -> bool:
        """Whether it keeps the problem's bound of passes."""
        return not self.bounded or self.passes(schedule) <= (self.problem.max_passes or 0)

    @property
    def front(self) -> tuple[FrontPoint, ...]:
        """Of the trials that were not stopped early, those that none beats at as few passes, fewest passes first."""
        crossed = ("cross-fit", "guidance")
        points = list[FrontPoint]()
        trials = [*self.whole, *(trial for trial in self.of(*crossed) if trial.score and trial not in self.whole)]
        scored = [(self.passes(t.schedule), t.score.value, t.number, t) for t in trials if t.score]
        for passes, value, _, trial in sorted(scored, key=lambda each: each[:3]):
            if not points or value < points[-1].score:
                points.append(FrontPoint(passes, value, trial.schedule.digest))
        return tuple(points)

    @property
    def fits(self) -> bool:
        """Whether there is a fit stage, among whose trials those of the other final stages are counted."""
        return "fit" in self.final

    @property
    def robust(self) -> bool:
        """Whether fits and polishes let noises go that end in another mode: unless the objective counts them."""
        return self.problem.objective.metric != "rms"

    @property
    def whole(self) -> list[Trial]:
        """The trials that were measured on all noises, the best first."""
        noises = self.problem.noises
        scored = [(t.score.value, t.number, t) for t in self.trials if t.score and t.score.noises == noises]
        return [trial for *_, trial in sorted(scored, key=lambda each: each[:2])]

    @property
    def incumbent(self) -> Trial | None:
        """The best trial so far, of those on all noises; of equals the first."""
        return next(iter(self.whole), None)

    @property
    def best(self) -> float | None:
        """The incumbent's score."""
        incumbent = self.incumbent
        return None if incumbent is None or incumbent.score is None else incumbent.score.value

    def of(self, *stages: str) -> list[Trial]:
        """The trials of these stages."""
        return [trial for trial in self.trials if trial.origin.stage in stages]

    def rank(self, trials: Sequence[Trial], schedules: Sequence[Schedule]) -> Forecasts:
        """Forecasts for schedules by these trials, and by those of earlier searches of the model."""
        return self.ranker([*self.warm.trials, *trials], schedules)

    def may_begin(self, stage: str) -> bool:
        """Whether there is time for something new, or an earlier run had begun it."""
        return self.budget.in_time or any(trial.origin.stage == stage for trial in self.log.trials)
