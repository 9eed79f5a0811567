"""Ranks schedules by a forecast of their score: physics from teacher trajectories, what was evaluated, past lessons.

Installed as `fewstep.predictor`.
"""

if __name__ == "predictor":
    from fewstep.folders import same

    same(__name__)
else:
    from fewstep.predictor.lesson import Lesson
    from fewstep.predictor.ranking import Ranker, ranker
    from fewstep.predictor.report import Report, cross_validate, kendall_tau

__all__ = ["Lesson", "Ranker", "Report", "cross_validate", "kendall_tau", "ranker"]
