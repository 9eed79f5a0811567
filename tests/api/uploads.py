"""Real model folders to submit, uploads of them part by part, and what lies on a disk."""

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors.torch import load_file, save

from tests.fewstep.models.tiny import unet

BOUNDARY = "fewstep-test-boundary"
MOST = 2**21  # bytes that a service in these tests takes
Parts = dict[str, bytes]
WEIGHTS = "diffusion_pytorch_model.safetensors"
PLACES = {"config.json": "unet", WEIGHTS: "unet", "scheduler_config.json": "scheduler", "fewstep.json": ""}


def pipeline(folder: Path, seed: int = 0, **options: object) -> Path:
    """A whole `DDPMPipeline` of a tiny U-Net, saved by diffusers."""
    torch.manual_seed(seed)
    diffusers.DDPMPipeline(unet(**options), diffusers.DDPMScheduler()).save_pretrained(folder)
    return folder


def parts_of(folder: Path) -> dict[str, bytes]:
    """The files of a pipeline's folder that an upload wants, by part name."""
    paths = {name: folder / inner / name for name, inner in PLACES.items()}
    return {name: path.read_bytes() for name, path in paths.items() if path.exists()}


def changed_json(text: bytes, **values: Any) -> bytes:
    """A JSON file with other values."""
    return json.dumps(json.loads(text) | values).encode()


def changed_weights(folder: Path, value: float) -> bytes:
    """The folder's weights with one number replaced."""
    tensors = load_file(folder / "unet" / WEIGHTS)
    tensors["conv_out.weight"].view(-1)[3] = value
    return save(tensors)


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """A body of parts, each with the whole value of its Content-Disposition."""
    made = b"".join(
        f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n"
        for disposition, content in parts
    )
    return made + f"--{BOUNDARY}--\r\n".encode()


def upload_body(parts: dict[str, bytes]) -> bytes:
    """A body of these parts by name."""
    return multipart(*((f'form-data; name="{name}"', content) for name, content in parts.items()))


def send(client: Any, body: Any, path: str = "/v1/models/upload", **headers: str) -> Any:
    """POST a multipart body."""
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return client.post(path, content=body, headers=kind | headers)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its bytes, every folder with None; SQLite's index of its log left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if not path.name.endswith(".db-shm")
    }
