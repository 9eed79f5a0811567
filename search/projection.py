"""Random projection of wide samples: distances and residuals are linear, so few numbers of each sample are enough."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch

__all__ = ["PROJECTED", "precise", "projected"]

PROJECTED = 64  # numbers that stay of a wide sample
ROWS = 2**16  # of the projection, drawn at a time
HELD = 2  # projections, of the sizes that were used last


def projected(values: torch.Tensor) -> np.ndarray:
    """Samples (n, ...) as rows (n, p), float64: narrow ones as they are, else a seeded random projection that keeps
    root mean squares. It is made on the samples' device, so that n·p numbers leave it.

    >>> projected(torch.zeros(2, 4, 64, 64)).shape, projected(torch.zeros(2, 1, 8, 8)).shape
    ((2, 64), (2, 64))
    """
    flat = values.detach().flatten(1)
    if flat.shape[1] > PROJECTED:
        flat = flat if flat.dtype == torch.float64 else flat.float()
        flat = flat @ _matrix(flat.shape[1], str(flat.device), flat.dtype)
    rows: np.ndarray = flat.cpu().double().numpy()
    return rows


def precise(values: torch.Tensor) -> torch.Tensor:
    """In float64 on a CPU; elsewhere in float32 at least, since some devices have no float64 and none is fast at it."""
    if values.device.type == "cpu":
        return values.double()
    return values if values.dtype == torch.float64 else values.float()


@lru_cache(maxsize=HELD)
def _matrix(d: int, device: str, dtype: torch.dtype) -> torch.Tensor:
    """(d, p), its rows drawn a few at a time: in float64 the whole would be the largest thing in a search."""
    matrix = torch.empty(d, PROJECTED, dtype=dtype, device=device)
    for first, rows in _rows(d):
        matrix[first : first + len(rows)] = torch.from_numpy(rows).to(dtype).to(device)
    return matrix


def _rows(d: int) -> Iterator[tuple[int, np.ndarray]]:
    rng = np.random.default_rng(0)
    for first in range(0, d, ROWS):
        yield first, rng.standard_normal((min(ROWS, d - first), PROJECTED)) / np.sqrt(d)
