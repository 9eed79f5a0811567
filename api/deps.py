"""Dependencies of routes: the store, the settings, and checked path parameters."""

from typing import Annotated

from fastapi import Depends, Path, Request

from api.inspection import Inspector
from api.settings import Settings
from fewstep.values.catalogue import Catalogue
from fewstep.values.search import Search
from storage.folders import ModelFolders
from storage.jobs import Jobs
from storage.store import Store

__all__ = [
    "Digest",
    "Identity",
    "TheCatalogue",
    "TheFolders",
    "TheInspector",
    "TheJobs",
    "TheSearch",
    "TheSettings",
    "TheStore",
]

NAME = r"^[0-9A-Za-z_.-]+$"

Identity = Annotated[str, Path(max_length=100, pattern=NAME, description="The id, as the service gave it")]
Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 in hexadecimal")]


def the_store(request: Request) -> Store:
    """The store that the application opened when it started."""
    store: Store = request.app.state.store
    return store


def the_settings(request: Request) -> Settings:
    """The settings that the application was made with."""
    settings: Settings = request.app.state.settings
    return settings


def the_inspector(request: Request) -> Inspector:
    """The inspector of submitted model folders."""
    inspector: Inspector = request.app.state.inspector
    return inspector


def the_folders(settings: "TheSettings") -> ModelFolders:
    """The folders of uploaded and fetched models."""
    return ModelFolders(settings.models_dir)


def the_catalogue(settings: "TheSettings") -> Catalogue:
    """The features and references that metrics may name here."""
    return Catalogue(settings.metrics_dir)


TheStore = Annotated[Store, Depends(the_store)]
TheSettings = Annotated[Settings, Depends(the_settings)]
TheInspector = Annotated[Inspector, Depends(the_inspector)]
TheFolders = Annotated[ModelFolders, Depends(the_folders)]
TheCatalogue = Annotated[Catalogue, Depends(the_catalogue)]


def the_jobs(store: TheStore) -> Jobs:
    """The job queue of searches, on the same store."""
    return Jobs(store)


def the_search(id: Identity, store: TheStore) -> Search:
    """The search in the path; raises `NotFound` before any answer begins."""
    return store.search(id)


TheJobs = Annotated[Jobs, Depends(the_jobs)]
TheSearch = Annotated[Search, Depends(the_search)]
