"""What a pipeline's ``__call__`` takes: its function without decorators, its arguments, its own number of steps."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["call_of", "default_steps", "parameters_of"]


def call_of(pipe: Any) -> Callable[..., Any]:
    """The function behind ``pipe(...)``, to be called with the pipeline first: without ``torch.no_grad`` around it."""
    function: Callable[..., Any] = inspect.unwrap(type(pipe).__call__)
    return function


def parameters_of(pipe: Any) -> Mapping[str, inspect.Parameter]:
    """The arguments of ``pipe(...)`` by name, and ``self``."""
    return inspect.signature(call_of(pipe)).parameters


def default_steps(pipe: Any) -> int | None:
    """The number of inference steps that a pipeline makes where its user names none; None where it has none."""
    parameter = parameters_of(pipe).get("num_inference_steps")
    default = None if parameter is None else parameter.default
    if default is None:
        default = getattr(pipe, "default_denoising_steps", None)  # Marigold
    return default if type(default) is int else None
