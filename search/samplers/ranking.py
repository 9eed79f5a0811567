"""Replay ranker: schedules in the order of their replay residuals on teacher trajectories, nothing learned."""

from collections.abc import Sequence

import numpy as np

import fewstep
from fewstep import Schedule
from fewstep.trajectory import Trajectories
from fewstep.values.forecast import Forecasts
from fewstep.values.trial import Rank, Trial

__all__ = ["by_replay"]

ENOUGH = 8  # trials from which on a line is fitted to their scores


def by_replay(trajectories: Trajectories) -> Rank:
    """A ranker without learning: log of the largest replay residual; a line through the trials makes it a forecast."""

    def residuals(schedules: Sequence[Schedule]) -> np.ndarray:
        replayed = trajectories.replay([fewstep.compile(schedule) for schedule in schedules])  # (M, N)
        worst: np.ndarray = np.log(np.maximum(replayed.max(axis=1), 1e-12))
        return worst

    def rank(trials: Sequence[Trial], candidates: Sequence[Schedule]) -> Forecasts:
        worst = residuals(candidates)
        nfe = {candidate.nfe for candidate in candidates}
        scored = [t for t in trials if t.score is not None and t.score.value > 0 and t.schedule.nfe in nfe]
        if len(scored) < ENOUGH:
            return Forecasts(worst, np.ones(len(worst)))
        x, y = residuals([trial.schedule for trial in scored]), np.log([trial.score.value for trial in scored])  # type: ignore[union-attr]
        slope = max(float(np.cov(x, y)[0, 1] / max(x.var(ddof=1), 1e-12)), 1e-3)  # never turns the order round
        left = y - y.mean() - slope * (x - x.mean())
        return Forecasts(y.mean() + slope * (worst - x.mean()), np.full(len(worst), left.std()))

    return rank
