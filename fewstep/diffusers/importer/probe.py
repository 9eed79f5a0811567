"""Measures a diffusers scheduler's tableau by running it: schedulers are linear in state, outputs and noise."""

import copy
import inspect
from typing import Any

import numpy as np
import torch

from fewstep.diffusers.importer.interpretation import Interpretation
from fewstep.errors import FewstepError, InvalidInput
from fewstep.tableau import Tableau

__all__ = ["probe"]

SEED = 0
DRAWS = 2  # at most, in a call
MISFIT = 1e-5  # of noise, relative to the state's: float32
SMALLEST = 1e-6  # weight of noise, relative to the row's largest, that counts: float32
MOVED = 1e-5  # relative change of the state in a call that moves nothing


def probe(scheduler: Any, terms: Interpretation) -> Tableau:
    """The scheduler's tableau, measured to float32 at least.

    One run with a network that predicts the j-th unit vector in call j gives the weights of the start state and of all
    outputs; one with zeros gives the weights of fresh noise. Both are made in float64, and again in float32 where the
    scheduler cannot. Raises `InvalidInput` where noise is no linear part of the states, where states are not finite,
    and where a call that should move nothing does.
    """
    try:
        return _measured(scheduler, terms, torch.float64)
    except (FewstepError, RuntimeError, ValueError, TypeError, IndexError):
        return _measured(scheduler, terms, torch.float32)


def _measured(scheduler: Any, terms: Interpretation, dtype: torch.dtype) -> Tableau:
    n = len(terms.network_times)
    states = _run(scheduler, terms, np.eye(n + 1), dtype) - _run(scheduler, terms, np.zeros((n + 1, n + 1)), dtype)
    if not np.all(np.isfinite(states)):
        name, advice = type(scheduler).__name__, _advice(scheduler)
        raise InvalidInput(f"with these settings {name} makes NaN or infinity of ordinary states{advice}")
    noise = _noise(scheduler, terms, dtype)
    return Tableau(terms.times, terms.network_times, states[1:, 0], np.tril(states[1:, 1:]), noise)


def _advice(scheduler: Any) -> str:
    if scheduler.config.get("final_sigmas_type") == "zero":
        return ", as some do where the last sigma is zero: try final_sigmas_type='sigma_min'"
    return ": try other settings, or another number of steps"


def _noise(scheduler: Any, terms: Interpretation, dtype: torch.dtype) -> np.ndarray:
    """Weights of fresh noise (N, K) in the states, one column for each draw that is used.

    Each row is fitted beside its own size, for states shrink over decades on the way.
    """
    n = len(terms.network_times)
    most = DRAWS * (n + len(scheduler.timesteps))
    width = most + 16  # more numbers than draws, so that the fit can fail
    noisy = _run(scheduler, terms, np.zeros((n + 1, width)), dtype)
    generator = torch.Generator().manual_seed(SEED)
    draws = np.stack([_draw(width, generator, dtype) for _ in range(most)])
    weights = np.linalg.lstsq(draws.T, noisy[1:].T, rcond=None)[0].T
    size = np.abs(noisy).max(1)
    scale = np.maximum(size[1:], size[:-1])  # a state that vanishes is the difference of ones that do not
    if np.any(np.abs(noisy[1:] - weights @ draws).max(1) > MISFIT * np.maximum(scale, np.finfo(np.float32).tiny)):
        raise InvalidInput(f"{type(scheduler).__name__} draws noise in a way that no schedule has")
    weights[np.abs(weights) <= SMALLEST * scale[:, None]] = 0.0
    used: np.ndarray = weights[:, np.any(weights, axis=0)]
    return used


def _draw(width: int, generator: torch.Generator, dtype: torch.dtype) -> np.ndarray:
    drawn: np.ndarray = torch.randn(1, 1, 1, width, generator=generator, dtype=dtype).double().numpy().ravel()
    return drawn


def _run(scheduler: Any, terms: Interpretation, inputs: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """All states, (N+1, W), from start state ``inputs[0]`` where call j's data prediction is ``inputs[1 + j]``.

    Numbers lie along the width: some schedulers keep only the first channels of an output. Calls after the last that
    moves the state are made too, with outputs of their own, to see that they do not.
    """
    n = len(terms.network_times)
    p, q = terms.denoiser_weights
    step = _Steps(copy.deepcopy(scheduler))
    states = np.zeros((n + 1, inputs.shape[1]))
    states[0] = inputs[0]
    sample = _tensor(inputs[0] / terms.scale[0], dtype)
    for i, t in enumerate(scheduler.timesteps):
        idle = np.cos(np.arange(inputs.shape[1]) + i)
        output = (inputs[1 + i] - p[i] * states[i]) / q[i] if i < n else idle
        sample = step(_tensor(output, dtype), i, t, sample)
        state = sample.double().numpy().ravel()
        if i < n:
            states[i + 1] = terms.scale[i + 1] * state
        elif np.abs(terms.scale[n] * state - states[n]).max() > MOVED * max(np.abs(states).max(), 1.0):
            raise InvalidInput(
                f"{type(scheduler).__name__} makes {len(scheduler.timesteps) - n} more calls at the noise level where "
                "it ends, and they move the state: its last step has no length, which no schedule has"
            )
    return states


def _tensor(numbers: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor(numbers, dtype=dtype).reshape(1, 1, 1, -1)


class _Steps:
    """A scheduler's steps by one convention, whatever its ``step`` takes beside output, time and state."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._parameters = inspect.signature(scheduler.step).parameters
        draws = "generator" in self._parameters
        self._generator = {"generator": torch.Generator().manual_seed(SEED)} if draws else {}
        self._data: Any = None

    def __call__(self, output: torch.Tensor, i: int, t: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        scheduler = self._scheduler
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(sample, t)  # some want it called
        if "old_pred_original_sample" in self._parameters:  # CogVideoX keeps its history in the pipeline
            back = scheduler.timesteps[i - 1] if i > 0 else None
            result = scheduler.step(output, self._data, t, back, sample, return_dict=False, **self._generator)
            self._data = result[1]
        else:
            result = scheduler.step(output, t, sample, return_dict=False, **self._generator)
        moved: torch.Tensor = result[0]
        return moved
