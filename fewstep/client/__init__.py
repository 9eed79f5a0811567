"""HTTP client of the fewstep service."""

from fewstep.client.client import Client
from fewstep.client.replies import Event, Metrics, Model, Published, Search

__all__ = ["Client", "Event", "Metrics", "Model", "Published", "Search"]
