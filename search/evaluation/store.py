"""Tensors that are kept: in files of a cache folder, each with a checksum, and in memory up to a size.

A file is written beside its place, forced to the disk and then renamed, so that another process, or this one after a
crash of the machine, sees the whole of it or none. One that was damaged all the same (a full disk, flipped bits) is
reported and counts as not there: whoever asked for it makes it anew.
"""

import hashlib
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

__all__ = ["CacheEntry", "Recent", "load", "save"]

K = TypeVar("K", bound=Hashable)
Tensors = Mapping[str, torch.Tensor]
log = logging.getLogger(__name__)


class CacheEntry(NamedTuple):
    """Tensors by name, and who made them."""

    tensors: dict[str, torch.Tensor]
    owner: str


def save(path: Path, kept: CacheEntry) -> None:
    """Write a file that `load` reads; atomic and durable."""
    partial = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.partial")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in kept.tensors.items()}
    save_file(tensors, partial, {"owner": kept.owner, "checksum": _checksum(tensors, kept.owner)})
    _to_disk(partial)
    partial.replace(path)
    _to_disk(path.parent)


def load(path: Path) -> CacheEntry | None:
    """What a file holds; None where there is none, or where it is not what was written, which is logged."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        log.warning("the cache file %s cannot be read and is made anew: %s", path, error)
        return None
    owner = metadata.get("owner", "")
    if metadata.get("checksum") != _checksum(tensors, owner):
        log.warning("the cache file %s does not have its checksum and is made anew", path)
        return None
    return CacheEntry(tensors, owner)


def _checksum(tensors: Tensors, owner: str) -> str:
    digest = hashlib.blake2b(owner.encode(), digest_size=32)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}/{tensor.dtype}/{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _to_disk(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # folders cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Recent(Generic[K]):
    """Tensors in memory by key, those that were used least recently given up beyond so many ``most`` bytes in all.

    >>> recent = Recent[str](most=100)
    >>> recent.put("a", CacheEntry({"x": torch.zeros(20)}, ""))
    >>> recent.put("b", CacheEntry({"x": torch.zeros(20)}, ""))
    >>> recent.get("a") is None, recent.get("b") is None, recent.bytes
    (True, False, 80)
    """

    def __init__(self, most: int) -> None:
        self.most, self.bytes = most, 0
        self._kept: OrderedDict[K, CacheEntry] = OrderedDict()

    def get(self, key: K) -> CacheEntry | None:
        """What is kept under a key, from now on the most recently used."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: K, kept: CacheEntry) -> None:
        """Keep the tensors, whatever their size, and give up others until all fit."""
        self.drop(key)
        self._kept[key] = kept
        self.bytes += _bytes(kept)
        while self.bytes > self.most and len(self._kept) > 1:
            self.drop(next(iter(self._kept)))

    def drop(self, key: K) -> None:
        """Give up what is kept under a key, if anything."""
        if key in self._kept:
            self.bytes -= _bytes(self._kept.pop(key))


def _bytes(kept: CacheEntry) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in kept.tensors.values())
