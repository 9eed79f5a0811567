"""Pages for people: searches and models, lists and one by one, schedules as files, and what these pages load."""

import re
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse

from api.dashboard.assets import asset
from api.dashboard.models import model_lines, model_page
from api.dashboard.pages import render
from api.dashboard.views import line_page, search_page
from api.deps import NAME, Identity, TheStore
from fewstep.errors import NotFound

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

Cursor = Annotated[str | None, Query(max_length=200, pattern=NAME)]


@router.get("/")
def searches(store: TheStore, cursor: Cursor = None) -> Response:
    """The list of searches, newest first."""
    return render("searches.html", page=line_page(store, cursor), newest=cursor is None)


@router.get("/searches/{id}")
def search(id: Identity, store: TheStore) -> Response:
    """One search; its script keeps it live."""
    try:
        page = search_page(store, id)
    except NotFound as error:
        return render("missing.html", status=404, reason=str(error))
    return render("search.html", page=page)


@router.get("/searches/{id}/schedule.json")
def schedule(id: Identity, store: TheStore) -> Response:
    """The winner's schedule, or before there is one the incumbent's, as a file."""
    page = search_page(store, id)
    if page.schedule is None:
        raise NotFound(f"search {id} has no schedule yet: wait for its first trial")
    model = re.sub(r"[^0-9A-Za-z_.]+", "-", page.model.name).strip("-.") or page.model.id
    name = f"{model}-{page.schedule.nfe}-calls-{page.schedule.digest[:8]}.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(page.schedule.to_json(indent=2) + "\n", headers=headers, media_type="application/json")


@router.get("/models")
def models(store: TheStore) -> Response:
    """The list of models, the newest first."""
    return render("models.html", lines=model_lines(store))


@router.get("/models/{id}")
def model(id: Identity, store: TheStore) -> Response:
    """One model: what it is, its front, its last searches."""
    try:
        page = model_page(store, id)
    except NotFound as error:
        return render("missing.html", status=404, reason=str(error))
    return render("model.html", page=page)


@router.get("/static/{name}")
def static(name: str) -> Response:
    """A file that a page loads."""
    path, media_type = asset(name)
    return FileResponse(path, media_type=media_type, headers={"Cache-Control": "public, max-age=31536000, immutable"})
