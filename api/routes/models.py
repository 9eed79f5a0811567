"""Models that searches may name."""

from fastapi import APIRouter, Response

from api.deps import Identity, TheStore
from api.errors import problems
from api.schemas import ModelIn, ModelOut

__all__ = ["router"]

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.post(
    "",
    status_code=201,
    responses={200: {"description": "The model was there already", "model": ModelOut}, **problems(413, 415, 422)},
)
def add_model(body: ModelIn, store: TheStore, response: Response) -> ModelOut:
    """Add a model of the zoo; one that is there already is given back as it is."""
    model = body.value()
    kept = store.add_model(model)
    response.status_code = 201 if kept.created == model.created else 200
    response.headers["Location"] = f"/v1/models/{kept.id}"
    return ModelOut.of(kept)


@router.get("")
def list_models(store: TheStore) -> list[ModelOut]:
    """Every model."""
    return [ModelOut.of(model) for model in store.models()]


@router.get("/{id}", responses=problems(404, 422))
def get_model(id: Identity, store: TheStore) -> ModelOut:
    """One model."""
    return ModelOut.of(store.model(id))


@router.delete("/{id}", status_code=204, responses=problems(404, 409, 422))
def delete_model(id: Identity, store: TheStore) -> None:
    """Forget a model with everything found for it; refused (409) while a search of it is live."""
    store.delete_model(id)
