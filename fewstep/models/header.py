"""Checks the header of a safetensors file before anything is mapped: a file from outside may claim anything.

    u64 n (little-endian) · n bytes of JSON · data;   JSON: name -> {"dtype", "shape", "data_offsets": [begin, end]}

The claims must fit exactly: every range has the size that dtype and shape need, ranges neither overlap nor leave
gaps, and the last one ends where the file does.
"""

import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fewstep.errors import InvalidModel
from fewstep.models.layout import parse

__all__ = ["HeaderLimits", "TensorEntry", "check", "check_finite"]

BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
EXPONENTS = {"F64": 0x7FF0 << 48, "F32": 0x7F80 << 16, "F16": 0x7C00, "BF16": 0x7F80}  # all ones: infinity or NaN
ENTRY = {"dtype", "shape", "data_offsets"}
METADATA = "__metadata__"
LENGTH = 8  # bytes of the header's own length
CHECK_CHUNK = 2**24  # bytes checked at a time


@dataclass(frozen=True)
class HeaderLimits:
    """The most that a file may claim: bytes of its header, tensors, dimensions of one, numbers along a dimension."""

    header: int = 2**24
    tensors: int = 100_000
    dimensions: int = 8
    size: int = 2**40


@dataclass(frozen=True)
class TensorEntry:
    """A tensor as the header describes it; ``begin`` and ``end`` are bytes of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def check(path: Path, limits: HeaderLimits = HeaderLimits()) -> list[TensorEntry]:
    """Names, dtypes and shapes in a safetensors file, in the order of their bytes; no tensor is read.

    Raises `InvalidModel` where the file is missing, is something else, or claims what does not fit.

    >>> from fewstep.models import zoo
    >>> [(entry.name, entry.shape) for entry in check(zoo.describe("digits-mixture").path)]
    [('covariances', (40, 64, 64)), ('means', (40, 64)), ('weights', (40,))]
    """
    try:
        with path.open("rb") as file:
            return _entries(path.name, file, os.fstat(file.fileno()).st_size, limits)
    except OSError as error:
        raise InvalidModel(f"cannot read weights {path.name}: {error.strerror}") from error


def check_finite(path: Path, limits: HeaderLimits = HeaderLimits()) -> None:
    """Raise `InvalidModel` unless the header is sound and every floating-point number in the file is finite.

    >>> from fewstep.models import zoo
    >>> check_finite(zoo.describe("digits-mixture").path)
    """
    entries = check(path, limits)
    with path.open("rb") as file:
        for entry in entries:
            if entry.dtype in EXPONENTS and not _all_finite(file, entry):
                raise InvalidModel(f"{path.name}: tensor {entry.name[:80]!r} holds NaN or infinity: mend the weights")


def _entries(name: str, file: BinaryIO, size: int, limits: HeaderLimits) -> list[TensorEntry]:
    length = int.from_bytes(file.read(LENGTH), "little")
    if size < LENGTH or not 2 <= length <= min(limits.header, size - LENGTH):
        raise InvalidModel(
            f"{name} ({size} bytes) is no safetensors file: its first {LENGTH} bytes give the length of the header, "
            f"which has 2 to {limits.header} bytes and fits in the file, got {length}"
        )
    content = parse(f"the header of {name}", file.read(length))
    metadata = content.pop(METADATA, {})
    if not (isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())):
        raise InvalidModel(f"{name}: {METADATA} must map text to text")
    if len(content) > limits.tensors:
        raise InvalidModel(f"{name}: at most {limits.tensors} tensors are taken, got {len(content)}")
    first = LENGTH + length
    entries = [_entry(f"{name}: tensor {key[:80]!r}", key, value, first, limits) for key, value in content.items()]
    entries.sort(key=lambda entry: (entry.begin, entry.end))
    end = first
    for entry in entries:
        if entry.begin != end:
            what = "overlaps the one before" if entry.begin < end else "leaves a gap before it"
            raise InvalidModel(f"{name}: tensor {entry.name[:80]!r} {what}: it begins at {entry.begin}, not at {end}")
        end = entry.end
    if end != size:
        raise InvalidModel(f"{name}: its tensors end at byte {end}, the file at {size}: it was cut or added to")
    return entries


def _entry(where: str, name: str, value: Any, first: int, limits: HeaderLimits) -> TensorEntry:
    if not isinstance(value, dict) or set(value) != ENTRY:
        raise InvalidModel(f"{where} must have exactly the fields {', '.join(sorted(ENTRY))}")
    dtype = value["dtype"]
    shape = value["shape"]
    offsets = value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BYTES:
        raise InvalidModel(f"{where} has dtype {str(dtype)[:40]!r}; known: {', '.join(BYTES)}")
    if not _are_sizes(shape, limits.size) or len(shape) > limits.dimensions:
        raise InvalidModel(f"{where} wants a shape of at most {limits.dimensions} whole numbers, each ≤ {limits.size}")
    if not _are_sizes(offsets, 2**63) or len(offsets) != 2:
        raise InvalidModel(f"{where} wants data_offsets of two whole numbers, got {str(offsets)[:80]}")
    begin, end = offsets
    size = prod(shape) * BYTES[dtype]
    if end - begin != size:
        raise InvalidModel(f"{where} of shape {tuple(shape)} in {dtype} takes {size} bytes, got {end - begin}")
    return TensorEntry(name, dtype, tuple(shape), first + begin, first + end)


def _are_sizes(value: Any, most: int) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size <= most for size in value)


def _all_finite(file: BinaryIO, entry: TensorEntry) -> bool:
    mask = EXPONENTS[entry.dtype]
    bits = np.dtype(f"<u{BYTES[entry.dtype]}")
    file.seek(entry.begin)
    for start in range(entry.begin, entry.end, CHECK_CHUNK):
        part = np.frombuffer(file.read(min(CHECK_CHUNK, entry.end - start)), dtype=bits)
        if bool(((part & bits.type(mask)) == mask).any()):
            return False
    return True
