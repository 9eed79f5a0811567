"""Measures a diffusers scheduler's tableau by running it: schedulers are linear in state, outputs and noise."""

import copy
import inspect
from typing import Any

import numpy as np
import torch

from fewstep.diffusers.importer.interpretation import Interpretation
from fewstep.errors import InvalidInput
from fewstep.tableau import Tableau

__all__ = ["probe"]

SEED = 0
NOISE_TOLERANCE = 1e-4  # float32, with states of size 100


def probe(scheduler: Any, terms: Interpretation) -> Tableau:
    """The scheduler's tableau, measured to float32.

    One run with a network that predicts the j-th unit vector in call j gives the weights of the start state and of all
    outputs; one with zeros gives the weights of fresh noise, at most one draw a call. Raises `InvalidInput` where noise
    is drawn otherwise, and where states are not finite.
    """
    name = type(scheduler).__name__
    n = len(terms.network_times)
    noisy = _run(scheduler, terms, np.zeros((n + 1, n + 1)))
    states = _run(scheduler, terms, np.eye(n + 1)) - noisy
    if not np.all(np.isfinite(states)):
        raise InvalidInput(
            f"with these settings {name} makes NaN or infinity of ordinary states, as some do where the last sigma is "
            "zero: try final_sigmas_type='sigma_min'"
        )
    generator = torch.Generator().manual_seed(SEED)
    noises = np.array([torch.randn(1, n + 1, 1, 1, generator=generator).numpy().ravel() for _ in range(n)])
    weights = np.linalg.lstsq(noises.T, noisy[1:].T, rcond=None)[0].T
    weights[np.abs(weights) < NOISE_TOLERANCE] = 0.0
    if np.abs(noisy[1:] - weights @ noises).max() > NOISE_TOLERANCE or np.any(np.triu(weights, 1)):
        raise InvalidInput(f"{name} draws noise in a way that no schedule has")
    noise = weights[:, np.any(weights, axis=0)]
    return Tableau(terms.times, terms.network_times, states[1:, 0], np.tril(states[1:, 1:]), noise)


def _run(scheduler: Any, terms: Interpretation, inputs: np.ndarray) -> np.ndarray:
    """All states, (N+1, N+1), from start state ``inputs[0]`` where call j's data prediction is ``inputs[1 + j]``."""
    n = len(terms.network_times)
    p, q = terms.denoiser_weights
    parameters = inspect.signature(scheduler.step).parameters
    draws = {"generator": torch.Generator().manual_seed(SEED)} if "generator" in parameters else {}
    scheduler = copy.deepcopy(scheduler)
    states = np.zeros((n + 1, n + 1))
    states[0] = inputs[0]
    sample = torch.tensor(inputs[0] / terms.scale[0], dtype=torch.float32).reshape(1, -1, 1, 1)
    for i, t in enumerate(scheduler.timesteps):
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(sample, t)  # some want it called
        output = torch.tensor((inputs[1 + i] - p[i] * states[i]) / q[i], dtype=torch.float32).reshape(1, -1, 1, 1)
        try:
            sample = scheduler.step(output, t, sample, return_dict=False, **draws)[0]
        except (RuntimeError, ValueError, IndexError) as error:
            raise InvalidInput(f"{type(scheduler).__name__} itself fails with these settings: {error}") from error
        states[i + 1] = terms.scale[i + 1] * sample.double().numpy().ravel()
    return states
