"""Forecasts of log(score), made before an evaluation: of one candidate, and of many at once."""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np

from fewstep.values.fields import About, Key

__all__ = ["Forecast", "Forecasts"]


@dataclass(frozen=True)
class Forecast:
    """The forecast of one candidate's log(score)."""

    mean: Annotated[float, About("Forecast of log(score), made before the evaluation"), Key("predicted")]
    std: Annotated[float, About("Standard deviation of the forecast"), Key("predicted_std")] = 0.0


class Forecasts(NamedTuple):
    """Forecasts of the log(score) of M candidates: ``mean`` and ``std``, both (M,)."""

    mean: np.ndarray
    std: np.ndarray
