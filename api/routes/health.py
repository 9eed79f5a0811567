"""Health checks: whether the process runs, and whether it can serve."""

from fastapi import APIRouter
from pydantic import BaseModel

from api.deps import TheStore
from api.errors import problems

__all__ = ["router"]

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The healthy reply; anything else has another HTTP status."""

    status: str = "ok"


@router.get("/healthz")
async def healthz() -> Health:
    """Whether the process answers."""
    return Health()


@router.get("/readyz", responses=problems(503))
def readyz(store: TheStore) -> Health:
    """Whether the database answers and its tables are up to date; 503 where not."""
    store.ping()
    return Health()
