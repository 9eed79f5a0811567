"""Refuses to export a time shift: other samplers have one time for a whole batch."""

from fewstep.errors import InvalidSchedule
from fewstep.schedule import Schedule

__all__ = ["REASON", "refuse_shift"]

REASON = "it has a time shift, which tells each sample a time of its own"


def refuse_shift(schedule: Schedule) -> None:
    """Raises `InvalidSchedule` where the schedule has a time shift."""
    if schedule.shift is not None:
        raise InvalidSchedule(
            f"this form cannot hold the schedule: {REASON}; take fewstep.sample, wrap the model yourself "
            "(fewstep.timeshift.wrap), or drop the shift: replace(schedule, shift=None)"
        )
