"""Models: add, upload, list, delete."""

import os
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from starlette.exceptions import HTTPException

from api import submission
from api.deps import Identity, TheFolders, TheInspector, TheSettings, TheStore
from api.errors import problems
from api.inspection import Inspector
from api.receiver import NO_PROGRAMS, PARTS, PROGRAM, receive
from api.replies import ValueRoute
from api.schemas import FolderIn, HubIn, ModelIn, ZooIn
from api.settings import Settings
from api.shapes import answer
from fewstep.values.model import Model

__all__ = ["UPLOAD", "router"]

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=ValueRoute)

UPLOAD = "/v1/models/upload"
EXISTING: dict[int | str, dict[str, Any]] = {
    200: {"description": "The model was there already", "model": answer(Model)}
}
BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {part: {"type": "string", "format": "binary"} for part in PARTS}}
        }
    },
}
Name = Annotated[
    str | None, Query(pattern=r"^[0-9A-Za-z_.-]{1,100}$", description="What to call it; by default after its id")
]


@router.post("", status_code=201, responses={**EXISTING, **problems(413, 415, 422)})
def add_model(
    body: Annotated[ModelIn, Body()],
    store: TheStore,
    settings: TheSettings,
    inspector: TheInspector,
    response: Response,
) -> Model:
    """Make a model known: one of the zoo's (ready at once), a folder of the operator's, or a hub's.

    Those that are not of the zoo are submitted: a runner tries them, and they become ready or refused. One that is
    there already is given back as it is, tried again where it was refused.
    """
    model = _submitted_model(body, settings, inspector)
    return _answer(model, store.add_model(model), response)


@router.post(
    "/upload",
    status_code=201,
    responses={**EXISTING, **problems(413, 415, 422)},
    openapi_extra={"requestBody": BODY},
)
async def upload(
    request: Request,
    store: TheStore,
    settings: TheSettings,
    folders: TheFolders,
    inspector: TheInspector,
    response: Response,
    name: Name = None,
) -> Model:
    """Upload a model: each file as a part of its own name.

    `config.json`, `scheduler_config.json` and `diffusion_pytorch_model.safetensors` as diffusers saves them, or
    `program.pt2` where the operator allows programs; `fewstep.json` and `conditions.safetensors` if there are any. The
    files are looked through before the answer; what is refused leaves nothing behind.
    """
    submission.check_name(name)
    async with contextmanager_in_threadpool(folders.incoming()) as folder:
        await receive(request, folder, settings.allow_programs)

        def store_upload() -> Model:
            source = "program" if (folder / PROGRAM).exists() else "upload"
            model = submission.of_inspected(inspector(folder), source, name)
            return _answer(model, submission.keep(store, folders, folder, model, settings.store_of_models), response)

        return await run_in_threadpool(store_upload)


@router.get("")
def list_models(store: TheStore) -> list[Model]:
    """Every model."""
    return store.models()


@router.get("/{id}", responses=problems(404, 422))
def get_model(id: Identity, store: TheStore) -> Model:
    """One model."""
    return store.model(id)


@router.delete("/{id}", status_code=204, responses=problems(404, 409, 422))
def delete_model(id: Identity, store: TheStore, folders: TheFolders, settings: TheSettings) -> None:
    """Forget a model with everything found for it; refused (409) while a search of it is live."""
    with folders.lock():
        model = store.model(id)
        store.delete_model(id)
        folders.remove(model.digest)
    if settings.store_of_models is not None and model.source != "zoo":
        settings.store_of_models.remove(model.digest)


def _submitted_model(body: ZooIn | FolderIn | HubIn, settings: Settings, inspector: Inspector) -> Model:
    if isinstance(body, ZooIn):
        return submission.of_zoo(body.name)
    if isinstance(body, FolderIn):
        folder = submission.folder_under(settings.model_roots, body.name)
        inspected = inspector(folder)
        if not inspected.network and not settings.allow_programs:
            raise HTTPException(403, NO_PROGRAMS)
        if settings.store_of_models is not None:
            settings.store_of_models.put(folder, inspected.digest)
        return submission.of_inspected(inspected, "folder", os.path.normpath(body.name))
    if not settings.allow_hub:
        raise HTTPException(403, "this service fetches nothing: its operator may set FEWSTEP_ALLOW_HUB=true")
    return submission.of_hub(body.repo, body.commit)


def _answer(submitted: Model, stored: Model, response: Response) -> Model:
    """The stored model, with status 201 where this request inserted it and 200 where it existed."""
    is_new = stored.created == submitted.created
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/v1/models/{stored.id}"
    return stored
