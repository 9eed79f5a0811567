"""What fewstep remembers: models, searches, trials, events and published schedules, in SQLite or PostgreSQL."""

from storage.jobs import Jobs
from storage.lease import Claim, LeaseLost, ModelClaim
from storage.probes import Probes
from storage.store import Store

__all__ = ["Claim", "Jobs", "LeaseLost", "ModelClaim", "Probes", "Store"]
