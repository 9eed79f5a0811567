"""The user's cache folder: what lies there, how large it is, and what to drop."""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fewstep.cache import user_cache
from fewstep.cli.display import table

__all__ = ["Entry", "app", "entries", "list_entries", "prune"]

DAY = 86_400.0

app = typer.Typer(help="What searches left in the cache folder of this user.", no_args_is_help=True)


@dataclass(frozen=True)
class Entry:
    """One thing in the cache: the journal of a tuned pipeline, or a model's teachers."""

    path: Path
    kind: str
    words: str
    size: int
    used: float

    @property
    def days(self) -> float:
        """Since it was last written."""
        return (time.time() - self.used) / DAY


def entries(root: Path) -> Iterator[Entry]:
    """What lies in a cache folder, oldest first."""
    found = [_entry(path, kind) for kind in ("tune", "teachers") for path in sorted((root / kind).glob("*"))]
    yield from sorted(found, key=lambda entry: entry.used)


@app.command("list")
def list_entries() -> None:
    """Print what lies there, oldest first."""
    root, console = user_cache(), Console()
    found = list(entries(root))
    rows = [(f"{e.size / 2**20:.1f}", f"{e.days:.1f}", e.words) for e in found if e.kind == "tune"]
    teachers = [entry for entry in found if entry.kind == "teachers"]
    if teachers:
        size = sum(entry.size for entry in teachers) / 2**20
        rows.append((f"{size:.1f}", f"{teachers[0].days:.1f}", f"teachers of all models, {len(teachers)} files"))
    console.print(table(("MiB", "days", "what"), rows, words=("what",)))
    console.print(f"{root}: {sum(entry.size for entry in found) / 2**20:.1f} MiB", highlight=False)


@app.command()
def prune(
    days: Annotated[float, typer.Option(help="Keep what was written in the last so many days.", min=0)] = 30.0,
) -> None:
    """Delete what is older; it is made again where it is needed."""
    dropped = [entry for entry in entries(user_cache()) if entry.days >= days]
    for entry in dropped:
        shutil.rmtree(entry.path) if entry.path.is_dir() else entry.path.unlink(missing_ok=True)
    typer.echo(f"deleted {len(dropped)}, {sum(entry.size for entry in dropped) / 2**20:.1f} MiB")


def _entry(path: Path, kind: str) -> Entry:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    about, words = path / "about.json", ""
    if about.is_file():
        facts = json.loads(about.read_text())
        words = f"{facts.get('pipeline')}, {facts.get('nfe')} calls, {facts.get('effort')}"
    used = max((file.stat().st_mtime for file in files), default=path.stat().st_mtime)
    return Entry(path, kind, words, sum(file.stat().st_size for file in files), used)
