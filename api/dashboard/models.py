"""What the pages of models show, gathered from the store."""

from dataclasses import dataclass

from storage.store import Store
from storage.values import Model, Published, Search

__all__ = ["ModelLine", "ModelPage", "model_lines", "model_page"]

SEARCHES = 10  # of a model, on its page
METRIC = "endpoint"


@dataclass(frozen=True)
class ModelLine:
    """A model in the list, and for how many numbers of calls a schedule was found."""

    model: Model
    found: int


@dataclass(frozen=True)
class ModelPage:
    """One model: what is known of it, its front by number of calls, its last searches."""

    model: Model
    front: list[Published]
    searches: list[Search]


def model_lines(store: Store) -> list[ModelLine]:
    """Every model, the one added last first."""
    return [ModelLine(model, len(store.front(model.id, METRIC))) for model in reversed(store.models())]


def model_page(store: Store, id: str) -> ModelPage:
    """Everything about one model; raises `NotFound`."""
    return ModelPage(store.model(id), store.front(id, METRIC), store.searches(limit=SEARCHES, model=id).items)
