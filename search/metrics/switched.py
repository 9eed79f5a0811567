"""Switch rate: the share of samples that end nearer to another noise's teacher target than to their own.

Such a sample has gone to another mode; nothing that a schedule can learn leads it back. Of wide samples 64 random
projections are compared, which keep distances to some ten percent.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from fewstep.errors import InvalidInput
from fewstep.search.metrics import bootstrap
from fewstep.search.metrics.base import RESAMPLES, checked
from fewstep.search.projection import projected

__all__ = ["SwitchRate"]


@dataclass(frozen=True)
class SwitchRate:
    """The switch rate as a metric; observations (n, 2 p) are a sample's and its target's projections."""

    can_vanish: ClassVar[bool] = True
    resamples: ClassVar[int] = 2000

    def fewest(self, width: int) -> int:
        """Two: a sample goes to another noise's target."""
        return 2

    def observe(self, samples: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
        """Projections (n, 2 p) of samples and targets (n, ...)."""
        return np.hstack([projected(each) for each in (samples, targets)])

    def value(self, observations: np.ndarray) -> float:
        """The share among all of them; raises `InvalidInput`."""
        return float(self.switched(observations).mean())

    def values(self, observations: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """The shares (B,) where the noises are taken ``counts`` (B, n) times; raises `InvalidInput`."""
        result: np.ndarray = counts @ self.switched(observations) / counts.sum(axis=1)
        return result

    def standard_error(self, observations: np.ndarray, times: int = RESAMPLES, seed: int = 0) -> float:
        """Of the value, from resamples of the noises; raises `InvalidInput`."""
        return bootstrap.standard_error(self, observations, times, seed)

    def switched(self, observations: np.ndarray) -> np.ndarray:
        """1.0 for each noise (n,) whose sample is nearest to another's target, else 0.0."""
        observations = checked(observations, fewest=2)
        if observations.shape[1] % 2:
            raise InvalidInput(f"observations hold features of two samples each, got {observations.shape[1]} numbers")
        samples, targets = np.hsplit(observations, 2)
        away = np.stack([((sample - targets) ** 2).sum(1) for sample in samples])  # (n, n)
        nearer: np.ndarray = away.min(axis=1) < np.diagonal(away)
        return nearer.astype(float)
