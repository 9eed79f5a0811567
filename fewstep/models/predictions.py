"""Prediction types of networks, and the data prediction that each output stands for.

Velocity is v = α ε − σ x_0 (Salimans and Ho 2022, section 4), flow ε − x_0 (Lipman et al. 2023; Liu et al. 2023). The
formulas work on numbers, arrays and tensors alike.
"""

from collections.abc import Callable
from typing import Any

__all__ = ["DIFFUSERS", "PREDICTIONS"]

PREDICTIONS: dict[str, Callable[..., Any]] = {
    "data": lambda output, x, alpha, sigma: output,
    "noise": lambda output, x, alpha, sigma: (x - sigma * output) / alpha,
    "velocity": lambda output, x, alpha, sigma: (alpha * x - sigma * output) / (alpha**2 + sigma**2),
    "flow": lambda output, x, alpha, sigma: (x - sigma * output) / (alpha + sigma),
}

DIFFUSERS = {"epsilon": "noise", "sample": "data", "v_prediction": "velocity", "flow_prediction": "flow"}
"""Prediction types by the names of diffusers' ``prediction_type``."""
