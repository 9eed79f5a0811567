"""Aliases of the folders ``search`` and ``predictor`` of a checkout for `fewstep.search` and `fewstep.predictor`.

Both folders stand at the top of the repository and are linked into ``fewstep``, whose modules they are. A module that
is imported under two names would exist twice: two classes of one name, two registries. So the folder's name is an alias
of the module in `fewstep`. `docs/decisions/one-name.md` has the choices.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

__all__ = ["same"]


def same(folder: str) -> None:
    """Make the name of a ``folder``, and of every module in it, an alias of the module in `fewstep`."""
    if not any(isinstance(finder, _Folder) and finder.folder == folder for finder in sys.meta_path):
        sys.meta_path.insert(0, _Folder(folder))
    importlib.import_module(f"fewstep.{folder}")
    _share(folder)


def _share(folder: str) -> None:
    """Add the alias of every loaded module of the folder.

    An import by a name in `sys.modules` binds nothing. One that loads sets the module as an attribute of its package:
    ``import search.find`` would replace the function by the module `fewstep.search.find`.
    """
    for name, module in list(sys.modules.items()):
        if f"{name}.".startswith(f"fewstep.{folder}.") and not name.endswith("__main__"):
            sys.modules[name.removeprefix("fewstep.")] = module


class _Folder(MetaPathFinder, Loader):
    """Finds ``folder.module`` as ``fewstep.folder.module``."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """For modules inside the folder; one that is run as a program is found in the file system as usual."""
        if not name.startswith(f"{self.folder}.") or name.endswith("__main__"):
            return None
        if PathFinder.find_spec(f"fewstep.{name}", path) is None:
            return None
        return ModuleSpec(name, self)

    def exec_module(self, module: ModuleType) -> None:
        """Replace this empty module in `sys.modules` by that of `fewstep`, which the import then returns."""
        importlib.import_module(f"fewstep.{module.__name__}")
        _share(self.folder)
