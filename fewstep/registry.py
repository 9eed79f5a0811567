"""Registries: entries of one kind by name, built in or added by an installed package.

A package adds one by an entry point of the registry's group, for instance in its ``pyproject.toml``:

    [project.entry-points."fewstep.metrics"]
    sharpness = "my_package.sharpness:Sharpness"

and a script by `Registry.add`. A built-in entry may be written as "module:attribute" too: it is imported at its first
use, so that names can be listed without importing the entries. `docs/extending.md` shows each kind.
"""

import importlib
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, NamedTuple, TypeVar, cast

from fewstep.errors import Conflict, UnknownName

__all__ = ["Registry"]

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """Entries of one ``kind`` by name: the ``builtin`` ones, and those of the entry-point ``group``.

    Iterating gives the names, the built-in ones first, in the order of their declaration. A package cannot
    replace a built-in one.

    >>> shapes = Registry("shape", "example.shapes", {"square": 4, "digits": "string:digits"})
    >>> list(shapes), shapes["square"], shapes["digits"]
    (['square', 'digits'], 4, '0123456789')
    """

    def __init__(self, kind: str, group: str, builtin: Mapping[str, Entry | str]) -> None:
        self.kind = kind
        self.group = group
        self._entries = {name: _place_or_entry(entry) for name, entry in builtin.items()}
        self._searched = False

    def __iter__(self) -> Iterator[str]:
        self._search()
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        self._search()
        return isinstance(name, str) and name in self._entries

    def __len__(self) -> int:
        self._search()
        return len(self._entries)

    def __getitem__(self, name: str) -> Entry:
        """The entry of that name; raises `UnknownName`, which lists the known ones."""
        self._search()
        if name not in self._entries:
            raise UnknownName(self.kind, name[:40] if isinstance(name, str) else name, self)
        entry = self._entries[name]
        if isinstance(entry, _Place):
            entry = self._entries[name] = entry.resolve()
        return cast(Entry, entry)

    def add(self, name: str, entry: Entry | str) -> None:
        """Add an entry, in this process only; raises `Conflict` where another entry has the name."""
        self._search()
        entry = _place_or_entry(entry)
        current = self._entries.get(name, entry)
        if current is not entry and current != entry:
            raise Conflict(f"there is a {self.kind} {name!r} already: choose another name")
        self._entries[name] = entry

    def remove(self, name: str) -> None:
        """Remove an entry of `add`; raises `UnknownName`."""
        if name not in self:
            raise UnknownName(self.kind, name[:40] if isinstance(name, str) else name, self)
        del self._entries[name]

    def _search(self) -> None:
        """Add the entry points of installed packages, once."""
        if self._searched:
            return
        self._searched = True
        for point in entry_points(group=self.group):
            self._entries.setdefault(point.name, _Place(point.value))


class _Place(NamedTuple):
    """Where an entry is, as "module:attribute"."""

    text: str

    def resolve(self) -> Any:
        """The entry, imported."""
        module, _, attribute = self.text.partition(":")
        return getattr(importlib.import_module(module), attribute)


def _place_or_entry(entry: Any) -> Any:
    return _Place(entry) if isinstance(entry, str) else entry
