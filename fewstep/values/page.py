"""A page of a long list."""

from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Page"]

Item = TypeVar("Item")
Cursor = TypeVar("Cursor")


@dataclass(frozen=True)
class Page(Generic[Item, Cursor]):
    """Some items, and the cursor that asks for the ones after them (None: there are none)."""

    items: list[Item]
    next: Cursor | None
