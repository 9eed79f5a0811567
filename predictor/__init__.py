"""Ranks schedules by a forecast of their score: physics from teacher trajectories, what was evaluated, past lessons."""

from predictor.lesson import Lesson
from predictor.ranking import Ranker, ranker
from predictor.report import Report, cross_validate, kendall_tau

__all__ = ["Lesson", "Ranker", "Report", "cross_validate", "kendall_tau", "ranker"]
