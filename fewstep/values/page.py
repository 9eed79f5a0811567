"""A page of a long list."""

from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Page"]

Item = TypeVar("Item")
Cursor = TypeVar("Cursor")


@dataclass(frozen=True)
class Page(Generic[Item, Cursor]):
    """Some items of a list, and the cursor of the ``next`` page (None: this is the last)."""

    items: list[Item]
    next: Cursor | None
