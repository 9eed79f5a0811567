"""Refuses to export what a form cannot hold: a time shift (other samplers have one time for a whole batch), or guidance
call by call."""

from fewstep.errors import InvalidSchedule
from fewstep.schedule import Schedule

__all__ = ["GUIDED", "REASON", "refuse_guidance", "refuse_shift"]

REASON = "it has a time shift, which tells each sample a time of its own"
GUIDED = "it sets the guidance of each call, and sigmas alone leave that at the pipeline's own"


def refuse_shift(schedule: Schedule) -> None:
    """Raises `InvalidSchedule` where the schedule has a time shift."""
    if schedule.shift is not None:
        raise InvalidSchedule(
            f"this form cannot hold the schedule: {REASON}; take fewstep.sample, wrap the model yourself "
            "(fewstep.timeshift.wrap), or drop the shift: replace(schedule, shift=None)"
        )


def refuse_guidance(schedule: Schedule) -> None:
    """Raises `InvalidSchedule` where the schedule has guidance scales."""
    if schedule.guidance is not None:
        raise InvalidSchedule(
            f"this form cannot hold the schedule: {GUIDED}; take fewstep.sample, fewstep.export.sampler or portable"
        )
