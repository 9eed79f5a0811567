"""Paired errors: how far a sample is from the teacher's sample of the same noise, summed up over the noises.

e_n = root mean square over pixels of x_n − x*_n; the observations are the squares e_n².

| name | value |
|---|---|
| ``mean`` | mean e, the default |
| ``typical`` | geometric mean exp(mean log e): what a sample is like; forgives the few that end in another mode |
| ``trimmed`` | root mean square without the worst 5 % |
| ``saturating`` | c √(exp(mean log(1 + e²/c²)) − 1), c 5 % of the size of the teacher's samples: of small errors a \
root mean square, of large ones a geometric mean |
| ``rms`` | root mean square √(mean e²), made by the few noises that end in another mode |
| ``median``, ``p95`` | quantiles of e |

`docs/decisions/objective.md` says which a search lowers by default, and why.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from fewstep.search.metrics import bootstrap
from fewstep.search.metrics.base import RESAMPLES, checked
from fewstep.search.projection import precise

__all__ = [
    "P95",
    "RMS",
    "Mean",
    "Median",
    "Paired",
    "Quantile",
    "Saturating",
    "Trimmed",
    "Typical",
    "squared_distances",
]

TRIMMED = 0.05  # share of the noises that a trimmed mean leaves out
SATURATION = 0.05  # of the size of the teacher's samples
SMALLEST = 1e-30  # squared error that counts as none
NUMBERS = 2**20  # whose errors are made together


@dataclass(frozen=True)
class Paired(ABC):
    """A summary of squared errors, which are its observations (n, 1); a subclass says which."""

    can_vanish: ClassVar[bool] = False
    resamples: ClassVar[int] = 2000

    @abstractmethod
    def summarise(self, errors: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Values (B,) of squared errors (n,), each taken ``counts`` (B, n) times."""

    def observe(self, samples: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
        """Squared errors (n, 1) of samples (n, ...) against the teacher's of the same noises."""
        return squared_distances(samples, targets)[:, None]

    def value(self, observations: np.ndarray) -> float:
        """The summary of squared errors (n, 1); raises `InvalidInput`."""
        return float(self.values(observations, np.ones((1, len(observations)), dtype=int))[0])

    def values(self, observations: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Summaries (B,) of squared errors taken ``counts`` (B, n) times; raises `InvalidInput`."""
        return self.summarise(checked(observations, width=1)[:, 0], np.asarray(counts))

    def standard_error(self, observations: np.ndarray, times: int = RESAMPLES, seed: int = 0) -> float:
        """Of the value, from resamples of the noises; raises `InvalidInput`."""
        return bootstrap.standard_error(self, observations, times, seed)


class RMS(Paired):
    """Root mean square error.

    >>> RMS().value(np.array([[1.0], [3.0], [8.0]]))
    2.0
    """

    def summarise(self, errors: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """√(mean e²)."""
        result: np.ndarray = np.sqrt(counts @ errors / counts.sum(axis=1))
        return result

    def standard_error(self, observations: np.ndarray, times: int = RESAMPLES, seed: int = 0) -> float:
        """In closed form by the delta method; zero for a single noise. Raises `InvalidInput`."""
        value, errors = self.value(observations), observations[:, 0]
        if len(errors) < 2 or value == 0:
            return 0.0
        return float(errors.std(ddof=1) / np.sqrt(len(errors))) / (2 * value)


class Mean(Paired):
    """Mean distance.

    >>> Mean().value(np.array([[1.0], [9.0]]))
    2.0
    """

    def summarise(self, errors: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """mean e."""
        result: np.ndarray = counts @ np.sqrt(errors) / counts.sum(axis=1)
        return result

    def standard_error(self, observations: np.ndarray, times: int = RESAMPLES, seed: int = 0) -> float:
        """In closed form; zero for a single noise. Raises `InvalidInput`."""
        distances = np.sqrt(checked(observations, width=1)[:, 0])
        return 0.0 if len(distances) < 2 else float(distances.std(ddof=1) / np.sqrt(len(distances)))


class Typical(Paired):
    """Geometric mean of the distances.

    >>> round(Typical().value(np.array([[1.0], [16.0]])), 9)
    2.0
    """

    def summarise(self, errors: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """exp(mean log e)."""
        result: np.ndarray = np.exp(0.5 * (counts @ _logs(errors)) / counts.sum(axis=1))
        return result

    def standard_error(self, observations: np.ndarray, times: int = RESAMPLES, seed: int = 0) -> float:
        """In closed form by the delta method; zero for a single noise. Raises `InvalidInput`."""
        value = self.value(observations)
        if len(observations) < 2:
            return 0.0
        return value * float(0.5 * _logs(observations[:, 0]).std(ddof=1) / np.sqrt(len(observations)))


class Trimmed(Paired):
    """Root mean square without the worst 5 %."""

    def summarise(self, errors: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """√(mean of the lowest 95 % of e²); of the noise at the edge only the part below it counts."""
        order = np.argsort(errors)
        taken = counts[:, order]
        most = (1 - TRIMMED) * taken.sum(axis=1, keepdims=True)
        before = np.cumsum(taken, axis=1) - taken
        result: np.ndarray = np.sqrt(np.clip(most - before, 0, taken) @ errors[order] / most[:, 0])
        return result


class Saturating(Paired):
    """Saturating mean, in units of the teacher's samples.

    >>> round(Saturating().value(np.array([[1e-8], [1e-8]])), 9)
    0.0001
    """

    def observe(self, samples: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
        """Squared errors (n, 1), each beside the mean square of the teacher's samples."""
        size = float(np.mean(squared_distances(targets, torch.zeros((), device=targets.device))))
        return super().observe(samples, targets) / max(size, SMALLEST)

    def summarise(self, errors: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """c √(exp(mean log(1 + e²/c²)) − 1)."""
        means = counts @ np.log1p(errors / SATURATION**2) / counts.sum(axis=1)
        result: np.ndarray = SATURATION * np.sqrt(np.expm1(means))
        return result


class Quantile(Paired):
    """A quantile of the distances: the lowest that so large a share of the noises does not exceed."""

    share: ClassVar[float]

    def summarise(self, errors: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """The smallest e with at least the share of the noises at or below it."""
        order = np.argsort(errors)
        reached = np.cumsum(counts[:, order], axis=1) >= self.share * counts.sum(axis=1, keepdims=True)
        result: np.ndarray = np.sqrt(errors[order][reached.argmax(axis=1)])
        return result


class Median(Quantile):
    """Median distance."""

    share = 0.5


class P95(Quantile):
    """95th percentile of the distances."""

    share = 0.95


def squared_distances(samples: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
    """e_n² (n,) of ``samples`` and ``targets`` (n, ...), made on their device a few samples at a time.

    >>> squared_distances(torch.tensor([[1.0, 3.0]]), torch.zeros(1, 2)).tolist()
    [5.0]
    """
    few, targets = max(NUMBERS // max(samples[:1].numel(), 1), 1), targets.expand_as(samples)
    errors = [torch.zeros(0, dtype=torch.float64)]
    for part in (slice(i, i + few) for i in range(0, len(samples), few)):
        squares = (precise(samples[part]) - precise(targets[part])).square()
        errors.append(squares.flatten(1).mean(1).cpu().double())
    result: np.ndarray = torch.cat(errors).numpy()
    return result


def _logs(errors: np.ndarray) -> np.ndarray:
    logs: np.ndarray = np.log(np.maximum(errors, SMALLEST))
    return logs
