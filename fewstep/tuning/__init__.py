"""Searches in the user's own process, where a pipeline's weights are: `tune`, and `compare` of its schedules."""

from fewstep.tuning.tune import Tuned, tune

__all__ = ["Tuned", "tune"]
