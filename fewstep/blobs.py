"""Store of model folders by digest, at any URL that fsspec opens: what one machine puts there, another fetches.

A model is a folder ``<digest>`` of the store with its files, and ``index.json``, which is written last and has the
SHA-256 of each. What is fetched is compared with it before anybody sees the folder; whoever opens the model compares
its digest as well.
"""

import hashlib
import json
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fewstep.errors import InvalidInput, NotFound, ServiceError

__all__ = ["Blobs"]

INDEX = "index.json"


@dataclass(frozen=True)
class Blobs:
    """The store at ``url`` ("file:///mnt/models", "s3://bucket/models", …), and the ``folder`` of this machine where
    fetched models are kept, each under its digest.

    >>> import tempfile
    >>> here, there, digest = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp()), "0" * 64
    >>> _ = (here / "config.json").write_text("{}")
    >>> Blobs("memory://example", here).put(here, digest)
    >>> sorted(path.name for path in Blobs("memory://example", there).fetch(digest).iterdir())
    ['config.json']
    """

    url: str
    folder: Path

    def has(self, digest: str) -> bool:
        """Whether the store has the whole model; raises `ServiceError` where it does not answer."""
        files, root = self._open()
        try:
            return bool(files.exists(f"{root}/{_checked(digest)}/{INDEX}"))
        except Exception as error:
            raise self._silent(error) from error

    def put(self, folder: Path, digest: str) -> None:
        """Copy a model's folder to the store, unless it is there; raises `ServiceError` where it does not answer."""
        if self.has(digest):
            return
        files, root = self._open()
        index = {}
        try:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                name = path.relative_to(folder).as_posix()
                files.makedirs(f"{root}/{digest}/{name}".rpartition("/")[0], exist_ok=True)
                files.put_file(str(path), f"{root}/{digest}/{name}")
                index[name] = _sha256(path)
            files.pipe_file(f"{root}/{digest}/{INDEX}", json.dumps({"files": index}, indent=1).encode())
        except Exception as error:
            raise self._silent(error) from error

    def fetch(self, digest: str) -> Path:
        """The model's folder on this machine, copied from the store where it is not there yet.

        Raises `NotFound` where the store does not have it, `ServiceError` where it does not answer or a file is
        damaged.
        """
        place = self.folder / _checked(digest)
        if place.is_dir():
            return place
        if not self.has(digest):
            raise NotFound(f"the store of models {self._name} has no model of digest {digest[:16]}…")
        files, root = self._open()
        partial = self.folder / "incoming" / uuid.uuid4().hex
        try:
            partial.mkdir(parents=True)
            try:
                for name, wanted in json.loads(files.cat_file(f"{root}/{digest}/{INDEX}"))["files"].items():
                    path = partial / _relative(name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    files.get_file(f"{root}/{digest}/{name}", str(path))
                    if _sha256(path) != wanted:
                        raise ServiceError(f"{name} of model {digest[:16]}… is damaged in {self._name}: remove it")
            except ServiceError:
                raise
            except Exception as error:
                raise self._silent(error) from error
            try:
                partial.rename(place)
            except OSError:
                if not place.is_dir():  # else another process was faster
                    raise
            return place
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def remove(self, digest: str) -> None:
        """Delete a model from the store, its index first; raises `ServiceError` where the store does not answer."""
        files, root = self._open()
        try:
            if files.exists(f"{root}/{_checked(digest)}"):
                if files.exists(f"{root}/{digest}/{INDEX}"):
                    files.rm_file(f"{root}/{digest}/{INDEX}")
                files.rm(f"{root}/{digest}", recursive=True)
        except Exception as error:
            raise self._silent(error) from error

    @property
    def _name(self) -> str:
        """The URL without what may be a password."""
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}" if rest else self.url

    def _open(self) -> tuple[Any, str]:
        """The file system of the store, and its root there; raises `InvalidInput` for a URL that nothing opens."""
        import fsspec

        try:
            files, root = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise InvalidInput(f"no store of models at {self._name}: {error}") from error
        return files, root.rstrip("/")

    def _silent(self, error: Exception) -> ServiceError:
        return ServiceError(f"the store of models {self._name} does not answer: {type(error).__name__}: {error}")


def _checked(digest: str) -> str:
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise InvalidInput(f"a digest is 64 lower-case hexadecimal digits, got {digest[:80]!r}")
    return digest


def _relative(name: str) -> PurePosixPath:
    """A file's name in the index, which stays inside its folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"the index names {name[:80]!r}")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
