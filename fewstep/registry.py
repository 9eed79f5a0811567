"""Registries: things of one kind by name, those that fewstep brings and those that an installed package adds.

A package adds one by an entry point of the registry's group, for instance in its ``pyproject.toml``:

    [project.entry-points."fewstep.metrics"]
    sharpness = "my_package.sharpness:Sharpness"

and a script by `Registry.add`. A built-in entry may be written as "module:attribute" too: it is imported when it is
first asked for, so that names can be listed without importing what they stand for. `docs/extending.md` shows each kind.
"""

import importlib
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, NamedTuple, TypeVar, cast

from fewstep.errors import Conflict, UnknownName

__all__ = ["Registry"]

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """Named entries of one ``kind``; ``group`` is the entry-point group that adds to the ``builtin`` ones.

    Iterating gives the names, the built-in ones first, in the order of their declaration. A built-in name cannot be
    taken by a package.

    >>> shapes = Registry("shape", "example.shapes", {"square": 4, "digits": "string:digits"})
    >>> list(shapes), shapes["square"], shapes["digits"]
    (['square', 'digits'], 4, '0123456789')
    """

    def __init__(self, kind: str, group: str, builtin: Mapping[str, Entry | str]) -> None:
        self.kind, self.group = kind, group
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
            raise UnknownName(self.kind, str(name)[:40], self)
        entry = self._entries[name]
        if isinstance(entry, _Place):
            entry = self._entries[name] = entry.resolve()
        return cast(Entry, entry)

    def add(self, name: str, entry: Entry | str) -> None:
        """Make an entry known in this process; raises `Conflict` where the name is taken by another one."""
        self._search()
        entry = _place_or_entry(entry)
        current = self._entries.get(name, entry)
        if current is not entry and current != entry:
            raise Conflict(f"there is a {self.kind} {name!r} already: choose another name")
        self._entries[name] = entry

    def remove(self, name: str) -> None:
        """Forget an entry that `add` made known; raises `UnknownName`."""
        if name not in self:
            raise UnknownName(self.kind, str(name)[:40], self)
        del self._entries[name]

    def _search(self) -> None:
        """Take up the entry points, once."""
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
