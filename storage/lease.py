"""Leases: how long a runner may be silent before its work goes to another."""

import math
from datetime import timedelta

from fewstep.errors import Conflict, InvalidInput

__all__ = ["MAX_ATTEMPTS", "MAX_LEASE", "LeaseLost", "lasting"]

MAX_ATTEMPTS = 3  # leases lost before the work itself is held to be the cause
MAX_LEASE = 24 * 3600


class LeaseLost(Conflict):
    """The work is no longer held under this token: stop working on it."""


def lasting(seconds: float) -> timedelta:
    """The length of a lease; raises `InvalidInput`."""
    if not (math.isfinite(seconds) and 0 < seconds <= MAX_LEASE):
        raise InvalidInput(f"a lease lasts more than 0 and at most {MAX_LEASE} seconds, got {seconds}")
    return timedelta(seconds=seconds)
