"""Upload of a model folder: its files, their part names, and progress."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from fewstep.errors import InvalidModel
from fewstep.models.layout import locate, read_json

__all__ = ["Progress", "Upload", "ignore"]

Progress = Callable[[int, int], None]
WEIGHTS = "diffusion_pytorch_model.safetensors"


def ignore(sent: int, total: int) -> None:
    """A progress callback that does nothing.

    >>> ignore(1, 2)
    """


class Upload:
    """The files of the model in ``folder`` by the names of their parts.

    ``guidance`` replaces that of its fewstep.json. Raises `InvalidModel` where there is no model, or one in shards.
    """

    def __init__(self, folder: Path, guidance: float | None = None) -> None:
        layout = locate(folder)
        if len(layout.weights) > 1:
            raise InvalidModel(f"the weights in {folder} are in {len(layout.weights)} shards: save them as one file")
        candidates = {
            "config.json": layout.network and layout.network / "config.json",
            "scheduler_config.json": layout.scheduler,
            "fewstep.json": layout.manifest,
            "conditions.safetensors": layout.conditions,
            "program.pt2": layout.program,
            WEIGHTS: layout.weights[0] if layout.weights else None,
        }
        self.paths = {name: path for name, path in candidates.items() if path is not None}
        self.texts: dict[str, bytes] = {}
        if guidance is not None:
            manifest = read_json(layout.manifest) if layout.manifest else {"format": 1}
            self.texts["fewstep.json"] = json.dumps(manifest | {"guidance": guidance}).encode()

    @contextmanager
    def files(self, progress: Progress = ignore) -> Iterator[dict[str, tuple[str, BinaryIO]]]:
        """Open files by part name, each with its file name, small ones first; calls ``progress`` as they are read."""
        paths = {name: path for name, path in self.paths.items() if name not in self.texts}
        total = sum(path.stat().st_size for path in paths.values())
        sent = 0

        def count_bytes(count: int) -> None:
            nonlocal sent
            sent += count
            progress(sent, total)

        with ExitStack() as stack:
            files: dict[str, tuple[str, BinaryIO]] = {
                name: (name, io.BytesIO(text)) for name, text in self.texts.items()
            }
            for name, path in paths.items():
                files[name] = (name, stack.enter_context(_CountingFile(path, count_bytes)))
            yield files


class _CountingFile(io.FileIO):
    """A file that reports the size of every read."""

    def __init__(self, path: Path, on_read: Callable[[int], None]) -> None:
        super().__init__(path, "rb")
        self._on_read = on_read

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes."""
        data = super().read(size)
        self._on_read(len(data))
        return data
