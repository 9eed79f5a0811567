"""The web application: routes, error handlers, middleware and the store."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from api import errors
from api.dashboard.routes import router as dashboard
from api.inspection import Inspector
from api.log import RequestLog
from api.routes import grids, health, metrics, models, results, schedules, searches
from api.security import BodyLimit, Guard, SecureHeaders
from api.settings import Settings, load
from storage.folders import ModelFolders
from storage.store import Store

__all__ = ["create_app"]


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; its store is opened and migrated when it starts and closed when it stops.

    Without ``settings``, they come from the environment.
    """
    settings = load() if settings is None else settings
    app = FastAPI(
        title="fewstep",
        version=version("fewstep"),
        summary="Finds, stores and serves the best few-step sampler for a diffusion model",
        lifespan=_open_store,
        docs_url=None,  # these pages load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        responses=errors.problems(400, 403, 500, 503),
        generate_unique_id_function=_operation_id,
    )
    app.state.settings = settings
    errors.install(app)
    for module in (health, models, metrics, searches, results, schedules, grids):
        app.include_router(module.router)
    app.include_router(dashboard)
    # The last one added is the outermost.
    app.add_middleware(
        BodyLimit, max_bytes=settings.max_body_bytes, exceptions={models.UPLOAD: settings.max_model_bytes}
    )
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(RequestLog)
    app.add_middleware(SecureHeaders)
    app.openapi = _openapi(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _open_store(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    ModelFolders(settings.models_dir).sweep()
    with Store(settings.database_url) as store, closing(Inspector(settings.inspect_seconds)) as inspector:
        store.migrate()
        app.state.store = store
        app.state.inspector = inspector
        yield


def _operation_id(route: APIRoute) -> str:
    return route.name


def _openapi(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """FastAPI's document, corrected to valid OpenAPI 3.1 and with the shape of errors, which no route returns."""
    generate = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            content = generate()
            schemas = content.setdefault("components", {}).setdefault("schemas", {})
            error = errors.ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(error.pop("$defs", {}), ProblemDetails=error)
            stream = content["paths"]["/v1/searches/{id}/events"]["get"]["responses"]["200"]["content"]
            stream["text/event-stream"] = {"schema": {"type": "string"}}  # 3.1 has no word for a stream's items
        return generate()

    return document
