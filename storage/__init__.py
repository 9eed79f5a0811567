"""What fewstep remembers: models, searches, trials, events and published schedules, in SQLite or PostgreSQL."""

from storage.jobs import Jobs, LeaseLost
from storage.store import Store
from storage.values import Claim, Event, Model, Page, Published, Search, SearchState

__all__ = ["Claim", "Event", "Jobs", "LeaseLost", "Model", "Page", "Published", "Search", "SearchState", "Store"]
