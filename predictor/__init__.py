"""Learned ranker of schedules: forecasts of scores from teacher trajectories, trials and transfer records.

A good forecast lets a search try a few hundred schedules of a space that it could never go through. Installed as
`fewstep.predictor`.
"""

if __name__ == "predictor":
    from fewstep.folders import same

    same(__name__)
else:
    from fewstep.predictor.ranking import Ranker, ranker
    from fewstep.predictor.report import kendall_tau
    from fewstep.predictor.transfer import TransferRecord

    Lesson = TransferRecord  # the name of the first releases

__all__ = ["Lesson", "Ranker", "TransferRecord", "kendall_tau", "ranker"]
