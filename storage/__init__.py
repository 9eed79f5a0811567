"""Storage of models, searches, trials, events and published schedules in SQLite or PostgreSQL."""

from storage.jobs import Jobs
from storage.lease import Claim, LeaseLost, ModelClaim
from storage.model_checks import ModelChecks
from storage.publications import Publications
from storage.store import Store

__all__ = ["Claim", "Jobs", "LeaseLost", "ModelClaim", "ModelChecks", "Publications", "Store"]
