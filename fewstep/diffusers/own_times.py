"""Lists of sigmas and time steps that pipelines of diffusers pass by themselves, where their user chose none.

A pipeline cannot leave them out, so a scheduler with times of its own has to know them from a user's choice. N is the
number of steps, T that of training steps.

| rule | pipelines |
|---|---|
| ``even`` | Flux, SD3, Qwen-Image, Z-Image, LTX, Hunyuan ... |
| ``whole`` | CogView4, GLM-Image: whole time steps, as sigmas and as time steps |
| ``linear_quadratic`` | Mochi; LTX with conditions, as time steps |
| ``table`` | Bria: entries of a table of T levels |
| ``rising`` | Cosmos 2 |
| ``short`` | Helios, Cosmos 3: the first level is a little below 1 |
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from fewstep.errors import InvalidInput
from fewstep.grids.levels import linear_quadratic
from fewstep.processes import Flow

__all__ = ["RULES", "check", "is_own"]

TOLERANCE = 1e-3  # of the largest level: some pipelines round theirs to whole time steps of 1000


def _even(n: int, training: int) -> np.ndarray:
    """1, 1 − 1/N, …, 1/N."""
    return np.linspace(1.0, 1.0 / n, n)


def _whole(n: int, training: int) -> np.ndarray:
    """Whole time steps from T to 1."""
    return np.linspace(training, 1.0, n).astype(np.int64) / training


def _linear_quadratic(n: int, training: int) -> np.ndarray:
    """Of the grid of that name."""
    return np.array(linear_quadratic(Flow(), n)[:-1])


def _table(n: int, training: int) -> np.ndarray:
    """Entries of T, T − 1, …, 1 at even places, the first and the last among them."""
    return (training - np.linspace(0, training - 1, n).astype(np.int64)) / training


def _rising(n: int, training: int) -> np.ndarray:
    """0 to 1."""
    return np.linspace(0.0, 1.0, n)


def _short(n: int, training: int) -> np.ndarray:
    """As `_even`, from 1 − 1/T."""
    return np.linspace(1.0 - 1.0 / training, 0.0, n + 1)[:-1]


RULES: dict[str, Callable[[int, int], np.ndarray]] = {
    "even": _even,
    "whole": _whole,
    "linear_quadratic": _linear_quadratic,
    "table": _table,
    "rising": _rising,
    "short": _short,
}


def is_own(values: Sequence[Any] | np.ndarray, training: int) -> bool:
    """Whether ``values`` (N,), in [0, 1], are one of these lists.

    >>> is_own([1.0, 0.75, 0.5, 0.25], 1000), is_own([1.0, 0.6, 0.3, 0.1], 1000)
    (True, False)
    """
    given = np.asarray(values, dtype=np.float64)
    rules = (rule(len(given), training) for rule in RULES.values())
    return any(np.allclose(given, rule, rtol=0, atol=TOLERANCE) for rule in rules)


def check(what: str, values: Any, own: Sequence[np.ndarray], scale: float, training: int) -> None:
    """Raises `InvalidInput` where ``values`` (N,), in units of ``scale``, are neither a pipeline's nor one of ``own``.

    >>> check("sigmas", [0.9, 0.2], [np.array([0.9, 0.2])], 1.0, 1000)
    """
    if values is None:
        return
    given = np.asarray(values.cpu() if isinstance(values, torch.Tensor) else values, dtype=np.float64)
    known = (
        len(each) == len(given) and np.allclose(given, each, rtol=TOLERANCE, atol=TOLERANCE * scale) for each in own
    )
    if not any(known) and not is_own(given / scale, training):
        raise InvalidInput(
            f"a schedule has its own times: leave {what} out, or make a schedule of them; where the pipeline passes "
            "them by itself, install(pipe, schedule, strict=False)"
        )
