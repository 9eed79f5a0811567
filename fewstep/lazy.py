"""Lazy public names: imported at their first use, so that importing a package does not import torch."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(package: str, names: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package whose ``names`` are "module:attribute", or "module" for a module.

    The package imports the same names under `typing.TYPE_CHECKING`, for type checkers and editors. An attribute with
    the name of one of the package's modules cannot be lazy: importing that module would replace it.
    """

    def load(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = names[name].partition(":")
        try:
            value: Any = importlib.import_module(module)
            if attribute:
                value = getattr(value, attribute)
        except ModuleNotFoundError as error:
            raise ImportError(
                f"{package}.{name} takes the package {error.name!r}, which is not installed: "
                "pip install 'fewstep[search,diffusers]' has all that runs in this process"
            ) from error
        setattr(sys.modules[package], name, value)
        return value

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names})

    return load, listed
