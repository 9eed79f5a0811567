"""Ranks schedules by a forecast of their score: physics from teacher trajectories, and what was evaluated so far."""

from predictor.report import Report, cross_validate, kendall_tau
from predictor.train import ranker

__all__ = ["Report", "cross_validate", "kendall_tau", "ranker"]
