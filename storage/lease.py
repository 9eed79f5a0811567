"""Leases: the right of one runner to work on a search or a model, lost when its heartbeats stop."""

import math
from dataclasses import dataclass
from datetime import timedelta

from fewstep.errors import Conflict, InvalidInput
from fewstep.values.model import Model
from fewstep.values.search import Search

__all__ = ["MAX_ATTEMPTS", "MAX_LEASE", "Claim", "LeaseLost", "ModelClaim", "lease_length"]

MAX_ATTEMPTS = 3  # leases lost before the work itself is held to be the cause
MAX_LEASE = 24 * 3600


class LeaseLost(Conflict):
    """The work is no longer held under this token: stop working on it."""


@dataclass(frozen=True)
class Claim:
    """A lease on a search, identified by its ``token``; ``elapsed`` are the seconds that the search ran in earlier
    attempts."""

    search: Search
    token: str
    elapsed: float = 0.0


@dataclass(frozen=True)
class ModelClaim:
    """A lease on the check of a submitted model, identified by its ``token``."""

    model: Model
    token: str


def lease_length(seconds: float) -> timedelta:
    """The duration of a lease; raises `InvalidInput`."""
    if not (math.isfinite(seconds) and 0 < seconds <= MAX_LEASE):
        raise InvalidInput(f"a lease lasts more than 0 and at most {MAX_LEASE} seconds, got {seconds}")
    return timedelta(seconds=seconds)
