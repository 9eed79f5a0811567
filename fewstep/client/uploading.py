"""A model folder on this machine as an upload: which files go, under which names, and how far they are."""

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
    """Progress that nobody wants to see.

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
        named = {
            "config.json": layout.network and layout.network / "config.json",
            "scheduler_config.json": layout.scheduler,
            "fewstep.json": layout.manifest,
            "conditions.safetensors": layout.conditions,
            "program.pt2": layout.program,
            WEIGHTS: layout.weights[0] if layout.weights else None,
        }
        self.paths = {name: path for name, path in named.items() if path is not None}
        self.texts: dict[str, bytes] = {}
        if guidance is not None:
            own = read_json(layout.manifest) if layout.manifest else {"format": 1}
            self.texts["fewstep.json"] = json.dumps(own | {"guidance": guidance}).encode()

    @contextmanager
    def files(self, progress: Progress = ignore) -> Iterator[dict[str, tuple[str, BinaryIO]]]:
        """Open files by part name, each with its file name, small ones first; ``progress`` is told as they are read."""
        paths = {name: path for name, path in self.paths.items() if name not in self.texts}
        total = sum(path.stat().st_size for path in paths.values())
        sent = 0

        def told(count: int) -> None:
            nonlocal sent
            sent += count
            progress(sent, total)

        with ExitStack() as stack:
            made: dict[str, tuple[str, BinaryIO]] = {
                name: (name, io.BytesIO(text)) for name, text in self.texts.items()
            }
            for name, path in paths.items():
                made[name] = (name, stack.enter_context(_Told(path, told)))
            yield made


class _Told(io.FileIO):
    """A file that tells how many bytes of it were read."""

    def __init__(self, path: Path, told: Callable[[int], None]) -> None:
        super().__init__(path, "rb")
        self._told = told

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes."""
        data = super().read(size)
        self._told(len(data))
        return data
