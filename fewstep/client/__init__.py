"""HTTP client of the fewstep service."""

from fewstep.client.client import Client
from fewstep.values.estimate import Estimate
from fewstep.values.event import Event
from fewstep.values.metrics import Metrics
from fewstep.values.model import Model
from fewstep.values.publication import Publication
from fewstep.values.published import Published
from fewstep.values.search import Search

__all__ = ["Client", "Estimate", "Event", "Metrics", "Model", "Publication", "Published", "Search"]
