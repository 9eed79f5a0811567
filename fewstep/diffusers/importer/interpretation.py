"""What a diffusers scheduler's settings mean here: its noise law, the times of its states, what it tells the network.

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
from fewstep.models import law
from fewstep.models.base import data_weights
from fewstep.models.predictions import DIFFUSERS
from fewstep.processes import VE, Discrete, Flow, Process

__all__ = ["FAMILIES", "Interpretation", "interpret"]

SAME = 1e-5  # relative; float32 tables
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
    """How a scheduler's numbers read in fewstep's terms.

    ``times`` (N+1,) of the states and ``network_times`` (N,), both in the process's units; ``scale`` (N+1,) makes the
    scheduler's states ours. A network output F at a state of time t means D = p·x + q·F: ``assumed`` (p, q) as the
    scheduler reads it, at the state's time; ``meant`` as our denoisers read it, at the network's time.
    """

    process: Process
    times: np.ndarray
    network_times: np.ndarray
    scale: np.ndarray
    assumed: tuple[np.ndarray, np.ndarray]
    meant: tuple[np.ndarray, np.ndarray]


def interpret(scheduler: Any, family: str) -> Interpretation:
    """What a scheduler means once its set_timesteps has been called; raises `InvalidInput` where it means nothing."""
    config = scheduler.config
    network_times = np.array(scheduler.timesteps.tolist(), dtype=np.float64)
    if family == "edm":
        return _edm(scheduler, network_times)
    if family == "flow" or config.get("use_flow_sigmas", False):
        sigmas = np.array(scheduler.sigmas.tolist(), dtype=np.float64)
        return _interpretation(Flow(), sigmas, network_times / config.num_train_timesteps, np.ones(len(sigmas)), "flow")
    process = law.table(type(scheduler).__name__, config)
    times = (
        np.append(network_times, _last(scheduler))
        if family == "index"
        else _placed(process, scheduler.sigmas, network_times)
    )
    scale = np.asarray(process.alpha(times)) if family == "scaled" else np.ones(len(times))
    return _interpretation(process, times, network_times, scale, DIFFUSERS.get(config.prediction_type, ""))


def _interpretation(
    process: Process, times: np.ndarray, network_times: np.ndarray, scale: np.ndarray, prediction: str
) -> Interpretation:
    if not prediction:
        raise InvalidInput(f"the scheduler's prediction_type is not one of {', '.join(DIFFUSERS)}")
    assumed, meant = data_weights(prediction, process, times[:-1]), data_weights(prediction, process, network_times)
    return Interpretation(process, times, network_times, scale, assumed, meant)


def _last(scheduler: Any) -> float:
    """The time of the last state of a scheduler that counts in time steps."""
    stride = scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    end = int(scheduler.timesteps[-1]) - stride
    return float(end) if end >= 0 else (0.0 if scheduler.config.get("set_alpha_to_one", True) is False else -1.0)


def _placed(process: Discrete, sigmas: Any, network_times: np.ndarray) -> np.ndarray:
    """The times of sigmas = σ/α, exact where they are those of a whole time step."""
    rho = np.array(sigmas.tolist(), dtype=np.float64)
    with np.errstate(divide="ignore"):
        times = np.where(rho > 0, process.time(-np.log(rho)), process.t_zero)
    whole = np.round(np.append(network_times, times[-1]))
    near = np.abs(np.exp(-process.log_snr(np.clip(whole, 0, process.t_max))) - rho) <= SAME * rho
    return np.clip(np.where(near, whole, times), process.t_zero, process.t_max)


def _edm(scheduler: Any, network_times: np.ndarray) -> Interpretation:
    """EDM's preconditioned networks: c_skip·x + c_out·F at the level that they are given, as (log σ)/4."""
    config = scheduler.config
    sigmas = np.array(scheduler.sigmas.tolist(), dtype=np.float64)
    process = VE(t_min=min(config.sigma_min, sigmas[-1]), t_max=max(config.sigma_max, sigmas[0]))
    data, total = config.sigma_data**2, sigmas[:-1] ** 2 + config.sigma_data**2
    sign = 1.0 if config.prediction_type == "epsilon" else -1.0
    weights = data / total, sign * sigmas[:-1] * config.sigma_data / np.sqrt(total)
    return Interpretation(process, sigmas, sigmas[:-1], np.ones(len(sigmas)), weights, weights)
