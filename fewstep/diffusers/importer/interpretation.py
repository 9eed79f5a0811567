"""A diffusers scheduler's settings in fewstep's terms: its process, the times of its states, the network's times.

| family | states | sigmas | example |
|---|---|---|---|
| index | x_t of a table of ᾱ | none: time steps index the table | DDIM |
| table | x_t of a table of ᾱ | σ/α | DPMSolverMultistep |
| scaled | x_t/α of a table of ᾱ | σ/α | Euler |
| flow | x_t of the straight path | σ | FlowMatchEuler |
| edm | x_0 + σ ε, network preconditioned | σ | EDMEuler |
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.models import scheduler_config
from fewstep.models.base import data_weights
from fewstep.models.predictions import DIFFUSERS
from fewstep.processes import VE, Discrete, Flow, Process

__all__ = ["FAMILIES", "Interpretation", "interpret"]

SIGMA_TOLERANCE = 1e-5  # relative; float32 tables
FAMILIES = {
    "DDIMScheduler": "index",
    "DDPMScheduler": "index",
    "PNDMScheduler": "index",
    "DEISMultistepScheduler": "table",
    "DPMSolverMultistepScheduler": "table",
    "DPMSolverSinglestepScheduler": "table",
    "SASolverScheduler": "table",
    "UniPCMultistepScheduler": "table",
    "EulerAncestralDiscreteScheduler": "scaled",
    "EulerDiscreteScheduler": "scaled",
    "HeunDiscreteScheduler": "scaled",
    "LMSDiscreteScheduler": "scaled",
    "FlowMatchEulerDiscreteScheduler": "flow",
    "FlowMatchHeunDiscreteScheduler": "flow",
    "EDMDPMSolverMultistepScheduler": "edm",
    "EDMEulerScheduler": "edm",
}


@dataclass(frozen=True, eq=False)
class Interpretation:
    """A scheduler's numbers in fewstep's terms.

    ``times`` (N+1,) of the states and ``network_times`` (N,), both in the process's units; ``scale`` (N+1,) times the
    scheduler's states are x_t. A network output F gives the data prediction D = p·x + q·F: ``scheduler_weights`` are
    the scheduler's p and q, (N,) each, at the state's time; ``denoiser_weights`` a denoiser's, at the network's time.
    """

    process: Process
    times: np.ndarray
    network_times: np.ndarray
    scale: np.ndarray
    scheduler_weights: tuple[np.ndarray, np.ndarray]
    denoiser_weights: tuple[np.ndarray, np.ndarray]


def interpret(scheduler: Any, family: str) -> Interpretation:
    """The interpretation of a scheduler after its set_timesteps; raises `InvalidInput` for an unknown prediction."""
    config = scheduler.config
    network_times = np.array(scheduler.timesteps.tolist(), dtype=np.float64)
    if family == "edm":
        return _edm(scheduler, network_times)
    if family == "flow" or config.get("use_flow_sigmas", False):
        sigmas = np.array(scheduler.sigmas.tolist(), dtype=np.float64)
        return _interpretation(Flow(), sigmas, network_times / config.num_train_timesteps, np.ones(len(sigmas)), "flow")
    process = scheduler_config.table(type(scheduler).__name__, config)
    if family == "index":
        times = np.append(network_times, _last_time(scheduler))
    else:
        times = _times_of_sigmas(process, scheduler.sigmas, network_times)
    scale = np.asarray(process.alpha(times)) if family == "scaled" else np.ones(len(times))
    return _interpretation(process, times, network_times, scale, DIFFUSERS.get(config.prediction_type, ""))


def _interpretation(
    process: Process, times: np.ndarray, network_times: np.ndarray, scale: np.ndarray, prediction: str
) -> Interpretation:
    if not prediction:
        raise InvalidInput(f"the scheduler's prediction_type is not one of {', '.join(DIFFUSERS)}")
    by_scheduler = data_weights(prediction, process, times[:-1])
    by_denoiser = data_weights(prediction, process, network_times)
    return Interpretation(process, times, network_times, scale, by_scheduler, by_denoiser)


def _last_time(scheduler: Any) -> float:
    """The time of the last state of a scheduler whose times are indices of the table."""
    stride = scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    end = int(scheduler.timesteps[-1]) - stride
    if end >= 0:
        return float(end)
    return 0.0 if scheduler.config.get("set_alpha_to_one", True) is False else -1.0


def _times_of_sigmas(process: Discrete, sigmas: Any, network_times: np.ndarray) -> np.ndarray:
    """The times of sigmas = σ/α, exact at whole time steps."""
    rho = np.array(sigmas.tolist(), dtype=np.float64)
    with np.errstate(divide="ignore"):
        times = np.where(rho > 0, process.time(-np.log(rho)), process.t_zero)
    whole = np.round(np.append(network_times, times[-1]))
    near = np.abs(np.exp(-process.log_snr(np.clip(whole, 0, process.t_max))) - rho) <= SIGMA_TOLERANCE * rho
    return np.clip(np.where(near, whole, times), process.t_zero, process.t_max)


def _edm(scheduler: Any, network_times: np.ndarray) -> Interpretation:
    """EDM's preconditioned networks: c_skip·x + c_out·F at network time (log σ)/4."""
    config = scheduler.config
    sigmas = np.array(scheduler.sigmas.tolist(), dtype=np.float64)
    process = VE(t_min=min(config.sigma_min, sigmas[-1]), t_max=max(config.sigma_max, sigmas[0]))
    data = config.sigma_data**2
    total = sigmas[:-1] ** 2 + config.sigma_data**2
    sign = 1.0 if config.prediction_type == "epsilon" else -1.0
    weights = data / total, sign * sigmas[:-1] * config.sigma_data / np.sqrt(total)
    return Interpretation(process, sigmas, sigmas[:-1], np.ones(len(sigmas)), weights, weights)
