"""Samples as a picture: a grid of small images in a PNG file, written with the standard library alone."""

import math
import struct
import zlib

import torch

from fewstep.errors import InvalidInput

__all__ = ["grid", "png"]

CELL = 64  # pixels; smaller images are enlarged by a whole factor to about this size
GAP = 2


def grid(samples: torch.Tensor) -> torch.Tensor:
    """Samples (B, C, H, W) in [−1, 1], C = 1 or 3, side by side: (rows, columns, C), uint8.

    Raises `InvalidInput` where the samples are no images.
    """
    if samples.ndim != 4 or samples.shape[1] not in (1, 3):
        raise InvalidInput(
            f"a picture wants samples (B, 1 or 3, H, W), got {tuple(samples.shape)}: this model's are no images"
        )
    count, channels, height, width = samples.shape
    factor = max(1, CELL // max(height, width))
    across = math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    height *= factor
    width *= factor
    pixels = ((samples.nan_to_num().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    pixels = pixels.repeat_interleave(factor, 2).repeat_interleave(factor, 3).movedim(1, -1)  # (B, H, W, C)
    page = torch.full((down * (height + GAP) - GAP, across * (width + GAP) - GAP, channels), 255, dtype=torch.uint8)
    for i, image in enumerate(pixels):
        top = i // across * (height + GAP)
        left = i % across * (width + GAP)
        page[top : top + height, left : left + width] = image
    return page


def png(pixels: torch.Tensor) -> bytes:
    """Pixels (H, W, C) uint8, C = 1 (grey) or 3 (red, green, blue), as a PNG file (ISO/IEC 15948).

    >>> png(torch.zeros(2, 2, 1, dtype=torch.uint8))[:4]
    b'\\x89PNG'
    """
    height, width, channels = pixels.shape
    lines = b"".join(b"\0" + line.numpy().tobytes() for line in pixels.contiguous())  # filter 0: as they are
    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
