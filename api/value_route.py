"""Routes that return values: their JSON, and the shape that OpenAPI has of it, follow from the values' fields."""

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, get_type_hints

from fastapi.datastructures import Default, DefaultPlaceholder
from fastapi.routing import APIRoute

from api.shapes import shape
from fewstep.values.codec import encode

__all__ = ["ValueRoute"]


class ValueRoute(APIRoute):
    """A route whose endpoint is declared to return a value, or a list of them; any other route is as it was."""

    def __init__(
        self, path: str, endpoint: Callable[..., Any], *, response_model: Any = Default(None), **options: Any
    ) -> None:
        returned = get_type_hints(endpoint).get("return")
        if isinstance(response_model, DefaultPlaceholder) and returned is not shape(returned):
            response_model, endpoint = shape(returned), _encoded(endpoint)
        super().__init__(path, endpoint, response_model=response_model, **options)


def _encoded(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """The endpoint, with the JSON of what it returns."""
    if iscoroutinefunction(endpoint):

        @wraps(endpoint)
        async def later(*arguments: Any, **options: Any) -> Any:
            return encode(await endpoint(*arguments, **options))

        return later

    @wraps(endpoint)
    def at_once(*arguments: Any, **options: Any) -> Any:
        return encode(endpoint(*arguments, **options))

    return at_once
