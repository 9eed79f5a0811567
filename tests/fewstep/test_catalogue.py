"""Names of features and references, built in and in a folder."""

from pathlib import Path

import pytest

from fewstep.errors import InvalidInput, UnknownName
from fewstep.values.catalogue import Catalogue
from fewstep.values.objective import Objective


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.pt2", "a.safetensors", "c.pth", "moments.npz", "digits.npz", "text.txt", "two words.npz"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.npz").mkdir()
    return tmp_path


def test_built_in_names_come_first(folder: Path) -> None:
    """Files of the right kind follow by name; a file cannot take the place of what is built in."""
    assert Catalogue(folder).features == ("pixels", "digits", "a", "b", "c")
    assert Catalogue(folder).references == ("teacher", "digits", "moments")
    assert Catalogue(folder / "nonesuch").references == Catalogue().references == ("teacher", "digits")


def test_files_are_found_by_name(folder: Path) -> None:
    """The file of a name; a path, an unknown name or a file of the other kind is none, and the known ones are said."""
    known = Catalogue(folder)
    assert known.features_file("a") == folder / "a.safetensors"
    assert known.reference_file("moments") == folder / "moments.npz"
    for name in ("moments", "../a", "nonesuch", "text"):
        with pytest.raises(UnknownName, match="known: pixels, digits, a, b, c"):
            known.features_file(name)


def test_objectives_are_checked_against_what_is_there(folder: Path) -> None:
    """Every named part is known and fits the samples, or it is refused; a shape that is not known yet fits."""
    known, digits = Catalogue(folder), Objective("frechet", "digits")
    known.check([Objective(), Objective("kid", "a", "moments")], (3, 32, 32))
    known.check([digits], (1, 8, 8))
    known.check([digits], ())
    with pytest.raises(InvalidInput, match=r"features 'digits'.*\(1, 8, 8\).*\(3, 8, 8\)"):
        known.check([Objective(), digits], (3, 8, 8))
    with pytest.raises(InvalidInput, match="reference 'digits'"):
        known.check([Objective("kid", "pixels", "digits")], (3, 8, 8))
    with pytest.raises(UnknownName, match="reference 'coco'"):
        known.check([Objective("kid", "a", "coco")], (3, 8, 8))
