"""Kept model folders: whole or not there, once for each digest."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from fewstep.errors import InvalidInput
from storage.folders import ModelFolders

DIGEST = "ab" * 32


@pytest.fixture
def folders(tmp_path: Path) -> ModelFolders:
    made = ModelFolders(tmp_path / "models")
    made.sweep()
    return made


def arrive(folders: ModelFolders, text: str, digest: str = DIGEST) -> Path:
    with folders.incoming() as folder:
        (folder / "file").write_text(text)
        with folders.keep(folder, digest):
            return folders.path(digest)


def _written(folder: Path) -> Path:
    (folder / "file").write_text("x")
    return folder / "file"


def test_a_folder_is_kept_under_its_digest(folders: ModelFolders) -> None:
    """What was written lies at its place, what came first stays, and nothing is left on the way."""
    assert arrive(folders, "one") == folders.path(DIGEST)
    assert arrive(folders, "two") == folders.path(DIGEST)
    assert (folders.path(DIGEST) / "file").read_text() == "one"
    assert list((folders.root / "incoming").iterdir()) == []


def test_a_folder_that_is_not_kept_is_gone(folders: ModelFolders) -> None:
    """When the block ends, by itself or by an error, the incoming folder is deleted with what is in it."""
    with folders.incoming() as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_text("x")
    assert not folder.exists()
    with pytest.raises(NotADirectoryError), folders.incoming() as folder:
        (_written(folder) / "inner").mkdir()
    assert not folder.exists()


def test_a_folder_that_could_not_be_made_known_is_gone(folders: ModelFolders) -> None:
    """Where the block fails the folder is taken back, but not one that was known before."""
    with folders.incoming() as folder, pytest.raises(ValueError, match="full"), folders.keep(folder, DIGEST):
        raise ValueError("the database is full")
    assert not folders.path(DIGEST).exists()
    arrive(folders, "one")
    with folders.incoming() as folder, pytest.raises(ValueError, match="full"), folders.keep(folder, DIGEST):
        raise ValueError("the database is full")
    assert folders.path(DIGEST).joinpath("file").read_text() == "one"


def test_a_folder_is_removed_once(folders: ModelFolders) -> None:
    """Removing takes the folder away; removing what is not there changes nothing."""
    arrive(folders, "one")
    for _ in range(2):
        with folders.lock():
            folders.remove(DIGEST)
        assert not folders.path(DIGEST).exists()
    assert arrive(folders, "again").joinpath("file").read_text() == "again"


@pytest.mark.parametrize("digest", ["", "..", "a" * 63, "A" * 64, "../" * 21 + "a", "a" * 64 + "/"])
def test_only_digests_name_folders(folders: ModelFolders, digest: str) -> None:
    """Anything else is refused before a path is made of it."""
    with pytest.raises(InvalidInput, match="64 lower-case"):
        folders.path(digest)


def test_many_arrivals_of_one_model(folders: ModelFolders) -> None:
    """Threads that keep the same model at once leave one whole folder."""
    start = Barrier(6)

    def work(number: int) -> Path:
        start.wait(60)
        return arrive(folders, str(number) * 1000)

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(work, range(6))) == {folders.path(DIGEST)}
    text = (folders.path(DIGEST) / "file").read_text()
    assert text == text[0] * 1000


def test_leftovers_are_swept_and_work_in_progress_is_not(folders: ModelFolders) -> None:
    """What a killed process left behind a day ago goes; kept folders and those being written stay."""
    arrive(folders, "kept")
    old = folders.root / "incoming" / "old"
    old.mkdir()
    (old / "file").write_text("x")
    os.utime(old, (time.time() - 25 * 3600,) * 2)
    with folders.incoming() as folder:
        folders.sweep()
        assert folder.is_dir()
    assert not old.exists()
    assert folders.path(DIGEST).is_dir()
