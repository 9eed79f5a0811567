"""File names of a model folder: what diffusers saves, and three optional files of fewstep.

    unet/ or transformer/ (or the folder itself)   config.json, diffusion_pytorch_model*.safetensors
    scheduler/ (or the folder itself)              scheduler_config.json
    fewstep.json                                   what those configs cannot say; optional
    conditions.safetensors                         labels or prompt embeddings to search under; optional
    program.pt2                                    an exported program in the place of a network's config and weights

Nothing is loaded here, and a name in a file never leads out of its folder.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewstep.errors import InvalidModel

__all__ = ["CONDITIONS", "PROGRAM", "Layout", "locate", "parse", "read_json", "sha256"]

CONDITIONS = "conditions.safetensors"
PROGRAM = "program.pt2"
MANIFEST = "fewstep.json"
CONFIG = "config.json"
SCHEDULER = "scheduler_config.json"
WEIGHTS = "diffusion_pytorch_model"
VARIANT = r"(?P<variant>[A-Za-z][A-Za-z0-9_]{0,30})"
SINGLE = re.compile(rf"{WEIGHTS}(\.{VARIANT})?\.safetensors")
INDEX = re.compile(rf"{WEIGHTS}\.safetensors\.index(\.{VARIANT})?\.json")
MAX_JSON = 2**24  # bytes of a JSON file
HASH_CHUNK = 2**22  # bytes hashed at a time


@dataclass(frozen=True)
class Layout:
    """``network`` is the folder with config and weights, ``weights`` its files, ``variant`` their kind ("bf16").

    ``program``, ``scheduler``, ``manifest`` and ``conditions`` are None where they are missing.
    """

    folder: Path
    network: Path | None
    weights: tuple[Path, ...]
    variant: str | None
    program: Path | None
    scheduler: Path | None
    manifest: Path | None
    conditions: Path | None


def locate(folder: Path) -> Layout:
    """The files in a model folder; raises `InvalidModel` where it has neither a network nor a program."""
    if not folder.is_dir():
        raise InvalidModel(f"{folder} is not a folder: a model is what diffusers' save_pretrained writes")
    program = _file(folder / PROGRAM)
    candidates = [folder / name for name in ("unet", "transformer", ".")]
    network = next((path for path in candidates if _file(path / CONFIG)), None)
    if (network is None) == (program is None):
        raise InvalidModel(
            f"{folder.name} wants either a network (unet/, transformer/ or the folder itself with {CONFIG} and "
            f"{WEIGHTS}.safetensors) or {PROGRAM}, not {'both' if program else 'neither'}"
        )
    weights, variant = _weights(network) if network else ((), None)
    scheduler = _file(folder / "scheduler" / SCHEDULER) or _file(folder / SCHEDULER)
    manifest = _file(folder / MANIFEST)
    conditions = _file(folder / CONDITIONS)
    return Layout(folder, network, weights, variant, program, scheduler, manifest, conditions)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; raises `InvalidModel` where it is too large, no JSON or no object."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_JSON + 1)
    except OSError as error:
        raise InvalidModel(f"cannot read {path.name}: {error.strerror}") from error
    return parse(path.name, text)


def parse(name: str, text: bytes) -> dict[str, Any]:
    """The object in ``text``, JSON by the letter: no key twice, no NaN; raises `InvalidModel` naming ``name``.

    >>> parse("config.json", b'{"sample_size": 8}')
    {'sample_size': 8}
    """
    if len(text) > MAX_JSON:
        raise InvalidModel(f"{name} has more than {MAX_JSON} bytes, too many for a description")
    try:
        content = json.loads(text.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidModel(f"{name} is not valid JSON: {str(error)[:200]}") from error
    if not isinstance(content, dict):
        raise InvalidModel(f"{name} must hold an object, got {type(content).__name__}")
    return content


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal; raises `InvalidModel` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidModel(f"cannot read {path.name}: {error.strerror}") from error


def _weights(network: Path) -> tuple[tuple[Path, ...], str | None]:
    """The weight files of a network and their variant: one file, or the shards that an index names.

    The plain weights come first, then the variants in the order of their names.
    """
    names = {path.name for path in network.iterdir() if path.is_file()}
    found = {match["variant"] for name in names for match in [SINGLE.fullmatch(name) or INDEX.fullmatch(name)] if match}
    for variant in sorted(found, key=lambda name: name or ""):
        dot = f".{variant}" if variant else ""
        single = f"{WEIGHTS}{dot}.safetensors"
        if single in names:
            return (network / single,), variant
        index = read_json(network / f"{WEIGHTS}.safetensors.index{dot}.json")
        return tuple(network / name for name in _shards(index, variant)), variant
    pickled = any(name.startswith(WEIGHTS) and name.endswith(".bin") for name in names)
    raise InvalidModel(
        f"there is no {WEIGHTS}.safetensors beside {CONFIG}, nor a variant or an index of shards"
        + (": save with safe_serialization=True" if pickled else "")
    )


def _shards(index: Mapping[str, Any], variant: str | None) -> list[str]:
    """The names of the shards in an index, those of its ``variant``; older ones have it before the ending."""
    kind = rf"\.{re.escape(variant)}" if variant else ""
    shard = re.compile(rf"{WEIGHTS}({kind}-\d{{5}}-of-\d{{5}}|-\d{{5}}-of-\d{{5}}{kind})\.safetensors")
    weight_map = index.get("weight_map")
    values = weight_map.values() if isinstance(weight_map, dict) else ()
    names = set(values) if all(isinstance(value, str) for value in values) else set()
    if not names or not all(shard.fullmatch(name) for name in names):
        raise InvalidModel(f"the index of the weights must name shards such as {WEIGHTS}-00001-of-00002.safetensors")
    return sorted(names)


def _file(path: Path) -> Path | None:
    return path if path.is_file() else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return content


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")
