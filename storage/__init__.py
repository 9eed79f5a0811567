"""What fewstep remembers: models, searches, trials, events and published schedules, in SQLite or PostgreSQL."""

from fewstep.values.event import Event
from fewstep.values.model import Facts, Model, ModelState
from fewstep.values.page import Page
from fewstep.values.published import Published
from fewstep.values.search import Search, SearchState
from storage.jobs import Jobs
from storage.lease import Claim, LeaseLost, ModelClaim
from storage.probes import Probes
from storage.store import Store

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
