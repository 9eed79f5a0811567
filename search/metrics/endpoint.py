"""Endpoint error: root mean square distance between a sample and the teacher's sample from the same noise.

e_n = mean over pixels of (x_n − x*_n)²,   value = √(mean_n e_n),   standard error = se(mean e)/(2·value)
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from fewstep.search.metrics.base import RESAMPLES, checked

__all__ = ["Endpoint", "squared_errors"]


@dataclass(frozen=True)
class Endpoint:
    """The endpoint error as a metric: its observations (n, 1) are the squared errors.

    >>> Endpoint().value(np.array([[1.0], [3.0], [8.0]]))
    2.0
    """

    can_vanish: ClassVar[bool] = False
    resamples: ClassVar[int] = 2000

    def observe(self, samples: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
        """Squared errors (n, 1) of samples (n, ...) against the teacher's of the same noises."""
        return squared_errors(samples.cpu().numpy(), targets.cpu().numpy())[:, None]

    def value(self, observations: np.ndarray) -> float:
        """Root mean square error of squared errors (n, 1); raises `InvalidInput`."""
        return float(np.sqrt(checked(observations, width=1)[:, 0].mean()))

    def values(self, observations: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Root mean square errors (B,) of squared errors taken ``counts`` (B, n) times; raises `InvalidInput`."""
        result: np.ndarray = np.sqrt(counts @ checked(observations, width=1)[:, 0] / counts.sum(axis=1))
        return result

    def standard_error(self, observations: np.ndarray, times: int = RESAMPLES, seed: int = 0) -> float:
        """Of the value, in closed form by the delta method; zero for a single noise. Raises `InvalidInput`."""
        value, errors = self.value(observations), observations[:, 0]
        if len(errors) < 2 or value == 0:
            return 0.0
        return float(errors.std(ddof=1) / np.sqrt(len(errors))) / (2 * value)


def squared_errors(samples: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """e_n (n,) from ``samples`` and ``targets`` (n, ...)."""
    squares = (samples.astype(np.float64) - targets.astype(np.float64)) ** 2
    return squares.reshape(len(squares), -1).mean(axis=1)  # type: ignore[no-any-return]
