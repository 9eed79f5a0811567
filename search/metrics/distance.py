"""Distances between the features of samples and those of a reference: a data set, or the teacher's samples.

A distance between n samples and a data set is mostly noise where n is small: which noises were drawn moves it more than
the schedule does. The teacher's samples of the very same noises are a reference without that: what both owe to the
noises cancels, the distance is zero for the teacher itself at any n, and few noises rank schedules as many do.
`docs/search.md` says how well.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch.utils.weak import WeakIdKeyDictionary

from fewstep.errors import InvalidInput
from fewstep.search.metrics import bootstrap
from fewstep.search.metrics.base import RESAMPLES, checked
from fewstep.search.metrics.features import Features, pixels, rows_of
from fewstep.search.metrics.reference import Reference

__all__ = ["Distance"]


@dataclass(frozen=True, eq=False)
class Distance(ABC):
    """A metric that compares ``features``; a subclass says how, once for each kind of reference.

    ``reference`` loads a data set's statistics when a value is first asked for; None is the teacher's samples of the
    same noises. A distance travels between processes where its fields do: what it has worked out stays behind.
    """

    features: Features = pixels
    reference: Callable[[], Reference] | None = None
    can_vanish: ClassVar[bool] = True
    resamples: ClassVar[int] = 500

    @abstractmethod
    def to_data_set(self, observations: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Values (B,) of features (n, F) taken ``counts`` (B, n) times, against `statistics`; raises `InvalidInput`."""

    @abstractmethod
    def to_teacher(self, samples: np.ndarray, targets: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Values (B,) of features (n, F) of samples against the teacher's, both taken ``counts`` (B, n) times."""

    def observe(self, samples: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
        """Features (n, F) of samples (n, ...); beside the teacher's, (n, 2 F), where these are the reference.

        The teacher's are worked out once for each tensor ``targets``, which is not to change.
        """
        observations = rows_of(self.features, samples)
        if self.reference is not None:
            return observations
        if targets not in self._targets:
            self._targets[targets] = rows_of(self.features, targets)
        return np.hstack([observations, self._targets[targets]])

    def value(self, observations: np.ndarray) -> float:
        """The value of observations (n, F), each taken once; raises `InvalidInput`."""
        return float(self.values(observations, np.ones((1, len(observations)), dtype=int))[0])

    def values(self, observations: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Values (B,) of observations taken ``counts`` (B, n) times, whole numbers; raises `InvalidInput`."""
        if self.reference is not None:
            return self.to_data_set(observations, np.asarray(counts))
        observations = checked(observations, fewest=2)
        if observations.shape[1] % 2:
            raise InvalidInput(
                f"observations hold the features of two samples each, got {observations.shape[1]} numbers"
            )
        samples, targets = np.hsplit(observations, 2)
        return self.to_teacher(samples, targets, np.asarray(counts))

    def fewest(self, width: int) -> int:
        """From how many noises on a value may be shown, for observations of ``width`` numbers; two make a spread."""
        return 2

    def dimensions(self, width: int) -> int:
        """Of the features in observations of ``width`` numbers, which beside the teacher's hold two samples' each."""
        return width if self.reference is not None else width // 2

    def standard_error(self, observations: np.ndarray, times: int = RESAMPLES, seed: int = 0) -> float:
        """Of the value, from resamples of the noises; raises `InvalidInput`."""
        return bootstrap.standard_error(self, observations, times, seed)

    @cached_property
    def statistics(self) -> Reference:
        """The data set's; raises `InvalidInput` where the teacher's samples are the reference, and as they load."""
        if self.reference is None:
            raise InvalidInput("this distance compares with the teacher's samples: there is no data set to load")
        return self.reference()

    @cached_property
    def _targets(self) -> WeakIdKeyDictionary:
        """Features of the teacher's samples, by the tensor that holds these, as long as it lives."""
        return WeakIdKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}
