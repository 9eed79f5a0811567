"""Reading and writing of the user's files, with errors that name the file."""

from pathlib import Path

from fewstep.errors import InvalidInput
from fewstep.schedule import Schedule

__all__ = ["read", "read_schedule", "write"]


def read(path: Path) -> bytes:
    """The file's content; raises `InvalidInput`, naming it, where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from error


def read_schedule(path: Path) -> Schedule:
    """The schedule in a JSON file; raises `InvalidInput` or `InvalidSchedule`."""
    return Schedule.from_json(read(path))


def write(path: Path, content: bytes) -> None:
    """Write the file, new or over an old one; raises `InvalidInput`, naming it, where it cannot be written."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InvalidInput(f"cannot write {path}: {error.strerror}") from error
