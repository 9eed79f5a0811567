"""The store of models: what one machine puts there another fetches whole, by digest, or not at all."""

import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from fewstep.blobs import Blobs
from fewstep.errors import InvalidInput, NotFound, ServiceError
from fewstep.models import zoo
from fewstep.models.reference import ModelReference

DIGEST = "ab" * 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder: a file, and one in a folder of its own."""
    made = tmp_path / "model"
    (made / "unet").mkdir(parents=True)
    (made / "fewstep.json").write_text("{}")
    (made / "unet" / "weights").write_bytes(bytes(range(256)) * 50)
    return made


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """One store in memory, one in a folder."""
    return f"memory://{uuid4().hex}" if request.param == "memory" else f"file://{tmp_path}/store"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_another_machine_fetches_what_one_put(url: str, folder: Path, tmp_path: Path) -> None:
    """File for file, once; what is removed is gone from the store and stays where it was fetched."""
    ours, theirs, late = (Blobs(url, tmp_path / name) for name in ("a", "b", "c"))
    assert not theirs.has(DIGEST)
    ours.put(folder, DIGEST)
    ours.put(folder, DIGEST)
    assert theirs.has(DIGEST)
    place = theirs.fetch(DIGEST)
    assert place == tmp_path / "b" / DIGEST
    assert contents(place) == contents(folder)
    ours.remove(DIGEST)
    ours.remove(DIGEST)
    assert theirs.fetch(DIGEST) == place
    with pytest.raises(NotFound, match="no model of digest abab"):
        late.fetch(DIGEST)
    assert not (tmp_path / "c").exists()


def test_a_damaged_or_unfinished_model_is_not_taken(folder: Path, tmp_path: Path) -> None:
    """A changed file is noticed by its SHA-256, an upload that was cut off has no index; nothing is half fetched."""
    ours, theirs = Blobs(f"file://{tmp_path}/store", tmp_path / "a"), Blobs(f"file://{tmp_path}/store", tmp_path / "b")
    ours.put(folder, DIGEST)
    (tmp_path / "store" / DIGEST / "unet" / "weights").write_bytes(b"other")
    with pytest.raises(ServiceError, match=r"unet/weights of model abab.*is damaged"):
        theirs.fetch(DIGEST)
    assert contents(tmp_path / "b") == {}
    assert not (tmp_path / "b" / DIGEST).exists()
    (tmp_path / "store" / DIGEST / "index.json").unlink()
    assert not theirs.has(DIGEST)
    ours.put(folder, DIGEST)
    assert contents(theirs.fetch(DIGEST)) == contents(folder)


def test_an_index_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    """Whatever a store says, nothing is written elsewhere."""
    (tmp_path / "store" / DIGEST).mkdir(parents=True)
    (tmp_path / "store" / DIGEST / "index.json").write_text('{"files": {"../../out": "00"}}')
    with pytest.raises(ServiceError, match="index names"):
        Blobs(f"file://{tmp_path}/store", tmp_path / "b").fetch(DIGEST)
    assert not (tmp_path / "out").exists()


def test_errors_name_the_store_without_its_password(tmp_path: Path) -> None:
    """An unknown protocol, and no digest."""
    with pytest.raises(InvalidInput, match=r"no store of models at nothing://host/x") as caught:
        Blobs("nothing://user:secret@host/x", tmp_path).has(DIGEST)
    assert "secret" not in str(caught.value).partition(": ")[0]
    with pytest.raises(InvalidInput, match="64 lower-case"):
        Blobs("memory://x", tmp_path).fetch("../etc")


def test_a_worker_without_the_folder_opens_the_model_from_the_store(tmp_path: Path) -> None:
    """The reference alone brings the weights; without a store the missing folder is named."""
    entry = zoo.describe("digits-unet")
    here = tmp_path / "here"
    shutil.copytree(entry.path, here)
    blobs = Blobs(f"memory://{uuid4().hex}", tmp_path / "fetched")
    blobs.put(here, entry.digest)
    shutil.rmtree(here)
    assert ModelReference("upload", "u", entry.digest, here, blobs).open()[1] == entry.shape
    assert (tmp_path / "fetched" / entry.digest).is_dir()
