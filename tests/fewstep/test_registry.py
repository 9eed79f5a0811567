"""Registries: built-in names first, then entry points of packages, then what scripts add; nothing is imported early."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fewstep.errors import Conflict, UnknownName
from fewstep.registry import Registry

GROUP = "fewstep.tests"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package as pip leaves it, with two entry points of the group, one under a name that is built in."""
    (tmp_path / "shapely_extras.py").write_text("hexagon = 6\n")
    about = tmp_path / "shapely_extras-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shapely-extras\nVersion: 1.0\n")
    points = "hexagon = shapely_extras:hexagon\nsquare = shapely_extras:hexagon\n"
    (about / "entry_points.txt").write_text(f"[{GROUP}]\n{points}")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield "shapely_extras"
    sys.modules.pop("shapely_extras", None)


def shapes() -> Registry[int]:
    return Registry("shape", GROUP, {"square": 4, "triangle": "string:digits"})


def test_a_packages_entry_is_listed_without_its_import(package: str) -> None:
    """Names come from the package's metadata; the module is imported when the entry is first asked for."""
    registry = shapes()
    assert list(registry) == ["square", "triangle", "hexagon"]
    assert len(registry) == 3
    assert package not in sys.modules
    assert registry["hexagon"] == 6
    assert package in sys.modules


@pytest.mark.usefixtures("package")
def test_a_package_cannot_take_a_built_in_name() -> None:
    """The built-in entry stays, whatever is installed."""
    assert shapes()["square"] == 4


def test_a_script_adds_and_removes() -> None:
    """From then on there is an entry; a taken name is refused, a removed one unknown, with the list of the others."""
    registry = shapes()
    registry.add("pentagon", 5)
    assert "pentagon" in registry
    with pytest.raises(Conflict, match="a shape 'pentagon' already"):
        registry.add("pentagon", 7)
    registry.add("pentagon", registry["pentagon"])
    registry.remove("pentagon")
    with pytest.raises(UnknownName, match="unknown shape 'pentagon'; known: square, triangle"):
        registry["pentagon"]


def test_a_built_in_entry_may_be_a_place() -> None:
    """It is imported once, when it is first asked for."""
    registry = shapes()
    assert registry["triangle"] == "0123456789"
    assert registry["triangle"] is registry["triangle"]
