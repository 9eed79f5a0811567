"""Checks the table of contents of a zip archive before anything is unpacked; exported programs are such archives."""

import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fewstep.errors import InvalidModel

__all__ = ["ArchiveLimits", "check_archive"]

ENCRYPTED = 1  # bit of an entry's flags


@dataclass(frozen=True)
class ArchiveLimits:
    """The most that an archive may hold: entries, and how many times its size on disk it may grow when unpacked."""

    entries: int = 20_000
    growth: float = 20.0


def check_archive(path: Path, limits: ArchiveLimits = ArchiveLimits()) -> list[str]:
    """The names in a zip archive, none of which is unpacked.

    Raises `InvalidModel` where it is none, or where a name leads out of it, stands twice, is a link or is encrypted, or
    where it claims to hold more than such an archive can.
    """
    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InvalidModel(f"{path.name} is not a zip archive, as exported programs are: {error}") from error
    if len(entries) > limits.entries:
        raise InvalidModel(f"{path.name} has {len(entries)} entries, at most {limits.entries} are taken")
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names):
        raise InvalidModel(f"{path.name} holds a name twice")
    for entry in entries:
        where = f"{path.name}: entry {entry.filename[:80]!r}"
        parts = PurePosixPath(entry.filename).parts
        if not parts or entry.filename.startswith("/") or ".." in parts or set("\\:\0") & set(entry.orig_filename):
            raise InvalidModel(f"{where} leads out of the archive")
        if stat.S_ISLNK(entry.external_attr >> 16) or entry.flag_bits & ENCRYPTED:
            raise InvalidModel(f"{where} is a link or encrypted")
    if sum(entry.compress_size for entry in entries) > size:
        raise InvalidModel(f"{path.name}: its entries overlap: together they are larger than the archive")
    whole = sum(entry.file_size for entry in entries)
    if whole > limits.growth * size:
        raise InvalidModel(
            f"{path.name} ({size} bytes) unpacks to {whole} bytes, more than {limits.growth:g} times as many"
        )
    return names
