"""Endpoint error: root mean square distance between a sample and the teacher's sample from the same noise.

e_n = mean over pixels of (x_n − x*_n)²,   value = √(mean_n e_n),   standard error = se(mean e)/(2·value)
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from fewstep.errors import InvalidInput
from fewstep.search.metrics.base import checked
from fewstep.values.score import Score

__all__ = ["Endpoint", "score", "squared_errors"]


@dataclass(frozen=True)
class Endpoint:
    """The endpoint error as a metric: its rows (n, 1) are the squared errors."""

    name: ClassVar[str] = "endpoint"
    smaller_is_better: ClassVar[bool] = True
    paired: ClassVar[bool] = True

    def observe(self, samples: torch.Tensor, ends: torch.Tensor | None) -> np.ndarray:
        """Squared errors (n, 1) of samples (n, ...); raises `InvalidInput` without the teacher's ends."""
        if ends is None:
            raise InvalidInput("the endpoint error compares with the teacher's ends, got none")
        return squared_errors(samples.cpu().numpy(), ends.cpu().numpy())[:, None]

    def values(self, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Root mean square errors (B,) of rows (n, 1) taken ``counts`` (B, n) times."""
        result: np.ndarray = np.sqrt(counts @ checked(rows, width=1)[:, 0] / counts.sum(axis=1))
        return result


def squared_errors(samples: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """e_n (n,) from ``samples`` and ``targets`` (n, ...)."""
    squares = (samples.astype(np.float64) - targets.astype(np.float64)) ** 2
    return squares.reshape(len(squares), -1).mean(axis=1)  # type: ignore[no-any-return]


def score(errors: np.ndarray, calls: int) -> Score:
    """The score of per-noise squared errors (n,); the standard error comes from the delta method."""
    mean = float(errors.mean())
    value = float(np.sqrt(mean))
    spread = float(errors.std(ddof=1) / np.sqrt(len(errors))) if len(errors) > 1 else 0.0
    return Score(value, spread / (2 * value) if value > 0 else 0.0, len(errors), calls)
