"""What the pages of models show, gathered from the store."""

from dataclasses import dataclass

from fewstep.values.model import Model
from fewstep.values.objective import DEFAULT
from fewstep.values.published import Published
from fewstep.values.search import Search
from storage.store import Store

__all__ = ["ModelLine", "ModelPage", "model_lines", "model_page"]

SEARCHES = 10  # of a model, on its page


@dataclass(frozen=True)
class ModelLine:
    """A model in the list, and how many schedules it has: one for each metric and number of calls."""

    model: Model
    schedules: int


@dataclass(frozen=True)
class ModelPage:
    """One model: its facts, its front by number of calls for each metric, the default one first, its last searches."""

    model: Model
    fronts: dict[str, list[Published]]
    searches: list[Search]


def model_lines(store: Store) -> list[ModelLine]:
    """Every model, the one added last first."""
    return [ModelLine(model, len(store.front(model.id))) for model in reversed(store.models())]


def model_page(store: Store, id: str) -> ModelPage:
    """Everything about one model; raises `NotFound`."""
    fronts: dict[str, list[Published]] = {}
    for published in store.front(id):
        fronts.setdefault(published.result.problem.metric, []).append(published)
    fronts = dict(sorted(fronts.items(), key=lambda front: front[0] != DEFAULT))
    return ModelPage(store.model(id), fronts, store.searches(limit=SEARCHES, model=id).items)
