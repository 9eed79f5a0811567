"""What fewstep remembers: models, searches, trials, events and published schedules, in SQLite or PostgreSQL."""

from storage.jobs import Jobs
from storage.lease import LeaseLost
from storage.probes import Probes
from storage.store import Store
from storage.values import Claim, Event, Facts, Model, ModelClaim, ModelState, Page, Published, Search, SearchState

__all__ = [
    "Claim",
    "Event",
    "Facts",
    "Jobs",
    "LeaseLost",
    "Model",
    "ModelClaim",
    "ModelState",
    "Page",
    "Probes",
    "Published",
    "Search",
    "SearchState",
    "Store",
]
