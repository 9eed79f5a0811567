"""Working off samples in parts, as many at a time as there is memory for: what fails for lack of it is halved."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from fewstep.models import Denoiser
from fewstep.models.memory import out_of_memory

__all__ = ["PATIENCE", "Beat", "Limit"]

PATIENCE = 64  # parts that fit, after which a lack of memory may have been another process's
LEAST_PATIENT = 2**16
T = TypeVar("T")
log = logging.getLogger(__name__)

Beat = Callable[[float], None]
"""``beat(seconds)`` after every call of the network, with what it took: a sign of life of whoever calls."""


@dataclass
class Limit:
    """The most samples of a call: ``batch`` as planned, ``now`` as the device's memory allows.

    After a lack of memory it rises again once enough parts have fitted, each time after twice as many, up to the plan.
    ``halvings`` records the sizes that failed and what they became. ``beat`` is told of every call.
    """

    batch: int
    beat: Beat | None = None
    halvings: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now, self._fitted, self._patience = self.batch, 0, PATIENCE

    def over(self, count: int, run: Callable[[slice], T]) -> list[T]:
        """``run`` of consecutive parts of ``count`` samples, in their order, each of as many as there is memory for.

        Raises what ``run`` raises; a lack of memory only where a single sample has none.
        """
        results, first = list[T](), 0
        while first < count:
            size = min(self.now, count - first)
            try:
                results.append(run(slice(first, first + size)))
                fits = True
            except (RuntimeError, MemoryError) as error:
                if size == 1 or not out_of_memory(error):
                    raise
                fits = False
            if fits:  # outside of the handler, which holds what the failed part had allocated
                first += size
                self._rise()
            else:
                self._halve(size)
        return results

    def called(self, denoiser: Denoiser, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The denoiser's answer, after which there is a sign of life."""
        if self.beat is None:
            return denoiser(x, t)
        began = time.monotonic()
        answer = denoiser(x, t)
        self.beat(time.monotonic() - began)
        return answer

    def _halve(self, size: int) -> None:
        self.now, self._fitted = size // 2, 0
        self.halvings.append((size, self.now))
        log.warning("the device has no memory for %d samples at a time: going on with %d", size, self.now)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _rise(self) -> None:
        self._fitted += 1
        if self.now < self.batch and self._fitted >= self._patience:
            self.now, self._fitted = min(2 * self.now, self.batch), 0
            self._patience = min(2 * self._patience, LEAST_PATIENT)
