"""The result of a search: winner and best baseline on the test noises, and its cost."""

from dataclasses import dataclass
from typing import Annotated

from fewstep.schedule import Schedule
from fewstep.values.fields import About, Inline, Key
from fewstep.values.problem import Problem
from fewstep.values.score import Interval, Score

__all__ = ["Cost", "FrontPoint", "Measured", "Result", "StageReport", "Summary"]


@dataclass(frozen=True)
class Summary:
    """One summary of a schedule's samples on the test noises by its metric's text, with its 95 % interval."""

    metric: Annotated[str, About("A metric, as an objective has it")]
    value: float
    interval: Annotated[Interval, Inline()]


@dataclass(frozen=True)
class Measured:
    """A schedule under a ``name``, with its score on test noises, the score's 95 % interval, and its score by the
    problem's secondary metric (`Problem.report`).

    ``summaries`` are from the same test noises: typical error, median, RMS, 95th percentile, switch rate, and the
    coupled Fréchet distance where there are at least twice as many noises as features. ``passes_per_sample`` are those
    of all calls, each at its guidance scale.
    """

    name: Annotated[str, About("What it is called: a baseline's solver and grid, a winner's origin")]
    schedule: Annotated[Schedule, About("In fewstep's own JSON format")]
    score: Annotated[Score, About("By the metric that the search lowers")]
    interval: Annotated[Interval | None, Inline()] = None
    secondary: Annotated[Score | None, About("By the metric that is reported beside it"), Key("second")] = None
    summaries: Annotated[tuple[Summary, ...], About("Of the same samples, by other metrics")] = ()
    passes_per_sample: Annotated[int | None, About("Network passes of one sampling run")] = None

    def summary(self, metric: str) -> Summary | None:
        """The summary by that metric, if there is one."""
        return next((each for each in self.summaries if each.metric == metric), None)

    @property
    def value(self) -> float:
        """The score's value."""
        return self.score.value

    @property
    def standard_error(self) -> float:
        """The score's standard error."""
        return self.score.standard_error

    @property
    def noises(self) -> int:
        """The number of test noises."""
        return self.score.noises


@dataclass(frozen=True)
class FrontPoint:
    """A trial that none beats at as few network passes: its passes of one sampling run, its score on the search noises,
    and its schedule's digest."""

    passes: int
    score: float
    digest: str


@dataclass(frozen=True)
class StageReport:
    """What one stage of a search spent, and the lowest error before and after it (None: no trial had a score yet)."""

    label: str
    evaluations: int
    calls: int
    seconds: float
    best_before: float | None = None
    best_after: float | None = None


@dataclass(frozen=True)
class Cost:
    """What a search spent: network sample-``calls``, the teacher's included, ``evaluations`` of candidates, and
    ``seconds``; a call passes the network ``passes_per_call`` times (2 with classifier-free guidance).

    Of the calls, ``test_calls`` went to the test on unseen noises. A teacher that an earlier search left behind costs
    nothing, and candidates that begin at the same time share their first output: ``shared_calls`` says what that
    saved.
    """

    calls: Annotated[int, About("Network sample-calls, the teacher's included")]
    evaluations: Annotated[int, About("Trials")]
    seconds: Annotated[float, About("Of running, in all attempts", unit="s")]
    passes_per_call: Annotated[int, About("Passes of the network in one call"), Key("passes")] = 1
    stages: Annotated[tuple[StageReport, ...], About("What each stage spent and gained")] = ()
    test_calls: Annotated[int, About("Of the calls, those of the test on unseen noises")] = 0
    shared_calls: Annotated[
        int, About("Saved by a teacher that was there already, and by first outputs that candidates share")
    ] = 0

    @property
    def search_calls(self) -> int:
        """Calls of the search alone."""
        return self.calls - self.test_calls

    @property
    def passes_spent(self) -> int:
        """Samples times passes through the network."""
        return self.calls * self.passes_per_call


@dataclass(frozen=True)
class Result:
    """The published result; every score is measured on test noises, which no earlier stage used.

    ``ratio`` is the winner's score over the baseline's, with its paired 95 % bootstrap interval; a distance that cannot
    be told from zero counts as the baseline's standard error there. ``teacher_error`` is the teacher's own distance to
    convergence, in the units of the scores; ``tau`` is Kendall's τ of the forecasts made before evaluations. ``ended``
    says why there were no more trials: the "budget" was spent, a limit of "calls", "seconds" or "improvement" was
    reached, or the "space" had no other schedules.

    ``verdict`` is set where the baseline itself is published, and says why nothing better was found; ``warnings`` name
    other metrics by which the winner is significantly worse than the baseline. ``out_of_span`` is the share of the
    error that no coefficients could remove, even chosen for every sample alone. ``front`` is quality against passes.
    """

    problem: Annotated[Problem, Inline(both=True)]
    winner: Annotated[Measured, Inline()]
    baseline: Annotated[Measured, About("The best named solver on the same noises")]
    ratio: Annotated[float, About("Winner's score over the baseline's")]
    ratio_interval: Annotated[Interval, Inline(prefix="ratio_")]
    teacher_error: Annotated[float, About("The teacher's own distance to convergence, in the units of the scores")]
    cost: Annotated[Cost, Inline()]
    ended: Annotated[str, About("Why there were no more trials: budget, calls, seconds, improvement or space")] = (
        "budget"
    )
    tau: Annotated[float | None, About("Kendall's τ of the forecasts made before evaluations")] = None
    verdict: Annotated[str | None, About("Why nothing better than the baseline was found, if so")] = None
    warnings: Annotated[tuple[str, ...], About("Metrics by which the winner is worse than the baseline")] = ()
    out_of_span: Annotated[float | None, About("Share of the error that no coefficients could remove")] = None
    front: Annotated[tuple[FrontPoint, ...], About("Trials that none beats at as few passes, fewest passes first")] = ()

    @property
    def schedule(self) -> Schedule:
        """The winner's schedule."""
        return self.winner.schedule

    @property
    def score(self) -> Score:
        """The winner's score."""
        return self.winner.score

    @property
    def baseline_name(self) -> str:
        """Solver and grid of the best baseline."""
        return self.baseline.name

    @property
    def second_baseline(self) -> Score | None:
        """The baseline's score by the secondary metric."""
        return self.baseline.secondary

    @property
    def calls(self) -> int:
        """Network sample-calls spent, the teacher's included."""
        return self.cost.calls
