"""Model folders that the service keeps: each under the digest of what is in it, whole or not there at all."""

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
    """Folders below ``root``: ``root/<digest>`` are kept, ``root/incoming/…`` are on their way.

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
    def kept(self, folder: Path, digest: str) -> Iterator[None]:
        """Move an incoming folder to its place in one step, unless one is there already; the block makes it known.

        Where the block fails, the folder is gone again. Nobody else keeps or removes one meanwhile.
        """
        place = self.path(digest)
        with self.settled():
            there = place.is_dir()
            if not there:
                folder.rename(place)
            try:
                yield
            except BaseException:
                if not there:
                    self.remove(digest)
                raise

    @contextmanager
    def settled(self) -> Iterator[None]:
        """While the block lasts nobody else keeps or removes a folder: what a database says of one stays true."""
        with FileLock(self.root / ".lock"):
            yield

    def remove(self, digest: str) -> None:
        """Delete the folder of that digest, if there is one. Call it inside `settled` or `kept`."""
        place = self.path(digest)
        if place.is_dir():
            with self.incoming() as away:  # it leaves its place at once, however long deleting takes
                place.rename(away / digest)

    def sweep(self) -> None:
        """Delete what uploads that were killed have left behind; makes the root where it is not there yet."""
        (self.root / INCOMING).mkdir(parents=True, exist_ok=True)
        for folder in (self.root / INCOMING).glob("*"):
            if time.time() - folder.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
