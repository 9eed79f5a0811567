"""Model folders of the service, each named by the digest of its content and complete or absent."""

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from fewstep.errors import InvalidInput

__all__ = ["ModelFolders"]

INCOMING = "incoming"
STALE_SECONDS = 24 * 3600  # after which nobody is still writing to an incoming folder


class ModelFolders:
    """Folders below ``root``: ``root/<digest>`` are complete, ``root/incoming/…`` are still being written.

    Several processes may share a root.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where the folder of that digest lies, or would lie; raises `InvalidInput` where it is no digest."""
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise InvalidInput(f"a digest is 64 lower-case hexadecimal digits, got {digest[:80]!r}")
        return self.root / digest

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """A new folder to write to; whatever is left in it when the block ends is deleted."""
        folder = self.root / INCOMING / uuid.uuid4().hex
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def keep(self, folder: Path, digest: str) -> Iterator[None]:
        """Move an incoming folder to its place atomically, unless one is there; the block records it in the database.

        Where the block fails, the folder is removed again. The lock is held meanwhile.
        """
        place = self.path(digest)
        with self.lock():
            existed = place.is_dir()
            if not existed:
                folder.rename(place)
            try:
                yield
            except BaseException:
                if not existed:
                    self.remove(digest)
                raise

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folders for the block, so that they agree with the database: nobody else adds or removes one."""
        with FileLock(self.root / ".lock"):
            yield

    def remove(self, digest: str) -> None:
        """Delete the folder of that digest, if there is one. Call it inside `lock` or `keep`."""
        place = self.path(digest)
        if place.is_dir():
            with self.incoming() as trash:  # the rename is atomic, however long deleting takes
                place.rename(trash / digest)

    def sweep(self) -> None:
        """Delete the incoming folders of killed uploads; makes the root where there is none."""
        (self.root / INCOMING).mkdir(parents=True, exist_ok=True)
        for folder in (self.root / INCOMING).glob("*"):
            if time.time() - folder.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
