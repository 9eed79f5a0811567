"""Forecasts of log(score), made before an evaluation: of one candidate, and of many at once."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fewstep.values.fields import about

__all__ = ["Forecast", "Forecasts"]


@dataclass(frozen=True)
class Forecast:
    """The forecast of one candidate's log(score)."""

    mean: float = about("Forecast of log(score), made before the evaluation", name="predicted")
    std: float = about("Standard deviation of the forecast", default=0.0, name="predicted_std")


class Forecasts(NamedTuple):
    """Forecasts of the log(score) of M candidates: ``mean`` and ``std``, both (M,)."""

    mean: np.ndarray
    std: np.ndarray
