"""How long a call of the network takes, and how many noises the teacher therefore follows in one piece.

What is lost with a worker is one piece at most, and a piece is done within minutes. So it is as large as a batch of the
shape may be, and halved until its calls take no longer than that. Samples keep to their pieces in every later search of
the model, so the size is measured once and kept beside them.
"""

import time
from collections.abc import Sequence
from math import prod

import torch

from fewstep.models import Denoiser
from fewstep.search.evaluation.microbatch import default_batch
from fewstep.values.cost_card import TEACHER_CALLS

__all__ = ["BLOCK_SECONDS", "block", "seconds_per_call"]

BLOCK_SECONDS = 120.0  # that the teacher may take for one piece, unless it is a single noise
MOST = 256  # noises of a piece
SETTLED = 0.25  # seconds of a call that say enough
GROWTH = 4  # from one batch to the next

clock = time.perf_counter


@torch.no_grad()
def seconds_per_call(denoiser: Denoiser, shape: Sequence[int], device: str, most: int) -> float:
    """Seconds of a call for one sample, measured on batches that grow to ``most`` samples or until a call is long."""
    batch = 1
    seconds = _timed(denoiser, shape, device, batch)
    if seconds < SETTLED:  # the first call of all brings the model to life
        seconds = _timed(denoiser, shape, device, batch)
    while seconds < SETTLED and batch * GROWTH <= most:
        try:
            longer = _timed(denoiser, shape, device, batch * GROWTH)
        except torch.OutOfMemoryError:
            break
        batch, seconds = batch * GROWTH, longer
    return seconds / batch


def block(shape: Sequence[int], seconds: float) -> int:
    """Noises of a piece for a model of so many ``seconds`` a call; a power of two, so that pieces nest.

    >>> block((1, 8, 8), 1e-3), block((4, 64, 64), 0.5), block((16, 128, 128), 0.02), block((4, 64, 64), 60.0)
    (256, 4, 4, 1)
    """
    size = min(1 << (default_batch(shape).bit_length() - 1), MOST)
    while size > 1 and size * TEACHER_CALLS * seconds > BLOCK_SECONDS:
        size //= 2
    return size


def _timed(denoiser: Denoiser, shape: Sequence[int], device: str, batch: int) -> float:
    numbers = torch.arange(batch * prod(shape), dtype=torch.float32, device=device)
    x = denoiser.process.prior_std * numbers.sin().reshape(batch, *shape)
    t = torch.full((batch,), denoiser.process.t_max, dtype=x.dtype, device=device)
    began = clock()
    denoiser.bound(range(batch))(x, t).sum().item()  # the number is here only when a device has done its work
    return clock() - began
