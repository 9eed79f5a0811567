"""A diffusers scheduler's settings in fewstep's terms: its process, the times of its states, the network's times.

| family | states | sigmas | example |
|---|---|---|---|
| index | x_t of a table of ᾱ | none: time steps index the table | DDIM |
| table | x_t of a table of ᾱ | σ/α | DPMSolverMultistep |
| scaled | x_t/α of a table of ᾱ | σ/α | Euler |
| flow | x_t of the straight path | σ | FlowMatchEuler |
| edm | x_0 + σ ε, network preconditioned | σ | EDMEuler |
| angle | x_t with α = cos(π t/2), σ = sin(π t/2) | none | IPNDM |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fewstep.errors import InvalidInput
from fewstep.models import scheduler_config
from fewstep.models.base import data_weights
from fewstep.models.predictions import DIFFUSERS
from fewstep.processes import VE, Cosine, Discrete, Flow, Process

__all__ = ["FAMILIES", "Interpretation", "interpret"]

SIGMA_TOLERANCE = 1e-5  # relative; float32 tables
TABLE_TOLERANCE = 1e-3  # relative, of ᾱ: a float32 product of a thousand factors
BEYOND = 1e-3  # relative: how far a sigma may lie beyond the table's largest
FAMILIES = {
    "CogVideoXDDIMScheduler": "index",
    "CogVideoXDPMScheduler": "index",
    "DDIMParallelScheduler": "index",
    "DDIMScheduler": "index",
    "DDPMParallelScheduler": "index",
    "DDPMScheduler": "index",
    "LCMScheduler": "index",
    "PNDMScheduler": "index",
    "TCDScheduler": "index",
    "DEISMultistepScheduler": "table",
    "DPMSolverMultistepScheduler": "table",
    "DPMSolverSinglestepScheduler": "table",
    "SASolverScheduler": "table",
    "UniPCMultistepScheduler": "table",
    "EulerAncestralDiscreteScheduler": "scaled",
    "EulerDiscreteScheduler": "scaled",
    "HeunDiscreteScheduler": "scaled",
    "KDPM2AncestralDiscreteScheduler": "scaled",
    "KDPM2DiscreteScheduler": "scaled",
    "LMSDiscreteScheduler": "scaled",
    "FlowMatchEulerDiscreteScheduler": "flow",
    "FlowMatchHeunDiscreteScheduler": "flow",
    "FlowMatchLCMScheduler": "flow",
    "EDMDPMSolverMultistepScheduler": "edm",
    "EDMEulerScheduler": "edm",
    "IPNDMScheduler": "angle",
}


@dataclass(frozen=True, eq=False)
class Interpretation:
    """A scheduler's numbers in fewstep's terms.

    ``times`` (N+1,) of the states and ``network_times`` (N,), both in the process's units; ``scale`` (N+1,) times the
    scheduler's states are x_t. A network output F gives the data prediction D = p·x + q·F: ``scheduler_weights`` are
    the scheduler's p and q, (N,) each, at the state's time; ``denoiser_weights`` a denoiser's, at the network's time.
    N is the number of calls that move the state: calls at the end of a list that repeats its last sigma do not.
    """

    process: Process
    times: np.ndarray
    network_times: np.ndarray
    scale: np.ndarray
    scheduler_weights: tuple[np.ndarray, np.ndarray]
    denoiser_weights: tuple[np.ndarray, np.ndarray]


def interpret(scheduler: Any, family: str) -> Interpretation:
    """The interpretation of a scheduler after its set_timesteps.

    Raises `InvalidInput` for an unknown prediction, for noise levels that are not finite and for those that the
    scheduler's table does not reach.
    """
    config = scheduler.config
    network_times = np.array(scheduler.timesteps.tolist(), dtype=np.float64)
    levels = _levels(scheduler, len(network_times))
    if not np.all(np.isfinite(network_times)) or (levels is not None and not np.all(np.isfinite(levels))):
        raise InvalidInput(
            f"with these settings {type(scheduler).__name__} makes NaN or infinity of its own noise levels, as "
            "shift_terminal does of one step: change the number of steps, or the settings that place them"
        )
    if family == "angle":
        process: Process = Cosine(s=0.0, t_min=0.0, t_max=1.0)
        return _interpretation(process, np.append(network_times, 0.0), network_times, False, "velocity")
    if family == "edm" or _continuous(config):
        return _edm(config, _moving(levels))
    if family == "flow" or config.get("use_flow_sigmas", False):
        return _flow(config, _moving(levels), network_times / config.num_train_timesteps)
    process = _process(scheduler)
    if levels is None:
        times = _moving(np.append(network_times, _last_time(scheduler)))
    else:
        times = _times_of_sigmas(process, _moving(levels), network_times)
    prediction = DIFFUSERS.get(config.prediction_type, "")
    return _interpretation(process, times, network_times[: len(times) - 1], family == "scaled", prediction)


def _interpretation(
    process: Process, times: np.ndarray, network_times: np.ndarray, scaled: bool, prediction: str
) -> Interpretation:
    if not prediction:
        raise InvalidInput(f"the scheduler's prediction_type is not one of {', '.join(DIFFUSERS)}")
    scale = np.asarray(process.alpha(times)) if scaled else np.ones(len(times))
    by_scheduler = data_weights(prediction, process, times[:-1])
    by_denoiser = data_weights(prediction, process, network_times)
    return Interpretation(process, times, network_times, scale, by_scheduler, by_denoiser)


def _levels(scheduler: Any, calls: int) -> np.ndarray | None:
    """The sigmas (N+1,) of the states before every call and after the last; None where there are only time steps.

    Some classes keep more sigmas than they use. Those of DPM-Solver-2 have the levels inside strides in another list.
    """
    if type(scheduler).__name__ in INDEXED:
        return None
    levels = np.array(scheduler.sigmas.tolist(), dtype=np.float64)[: calls + 1]
    inside = getattr(scheduler, "sigmas_interpol", None)
    if inside is not None:
        ahead = 0 if hasattr(scheduler, "sigmas_up") else 1
        levels[0::2] = np.array(scheduler.sigmas.tolist())[0 : calls + 1 : 2]
        levels[1::2] = np.array(inside.tolist())[ahead : calls + ahead : 2][: len(levels[1::2])]
    return levels


INDEXED = tuple(name for name, family in FAMILIES.items() if family in ("index", "angle"))


def _moving(levels: np.ndarray | None) -> np.ndarray:
    """The levels without repetitions of the last one, which are calls that move nothing; equal to float32."""
    if levels is None:
        raise InvalidInput("the scheduler has no sigmas")
    count = len(levels)
    while count > 2 and abs(levels[count - 1] - levels[count - 2]) <= SIGMA_TOLERANCE * abs(levels[count - 1]):
        count -= 1
    return levels[:count]


def _process(scheduler: Any) -> Discrete:
    """The process of a table."""
    process = scheduler_config.of(scheduler).process
    if not isinstance(process, Discrete):
        raise InvalidInput(f"{type(scheduler).__name__} has no table of alphas_cumprod")
    return process


def _last_time(scheduler: Any) -> float:
    """The time of the last state of a scheduler whose times are indices of the table."""
    name = type(scheduler).__name__
    last = int(scheduler.timesteps[-1])
    if name == "TCDScheduler":
        return 0.0
    if name == "LCMScheduler":
        return -1.0
    if hasattr(scheduler, "previous_timestep"):
        return float(max(int(scheduler.previous_timestep(scheduler.timesteps[-1])), -1))
    end = last - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    if end >= 0:
        return float(end)
    return -1.0 if scheduler.config.get("set_alpha_to_one", True) else 0.0


def _times_of_sigmas(process: Discrete, rho: np.ndarray, network_times: np.ndarray) -> np.ndarray:
    """The times of sigmas = σ/α, exact at whole time steps."""
    most = float(np.exp(-process.log_snr(np.float64(process.t_max))))
    if rho.max() > most * (1 + BEYOND):
        raise InvalidInput(
            f"its largest sigma, {rho.max():.6g}, lies beyond its table's, {most:.6g}: leave sigma_max out, or take "
            "betas that reach it"
        )
    with np.errstate(divide="ignore"):
        times = np.where(rho > 0, process.time(-np.log(rho)), process.t_zero)
    whole = np.round(np.append(network_times, times[-1])[: len(rho)])
    whole[-1] = np.round(times[-1])
    near = np.abs(np.exp(-process.log_snr(np.clip(whole, 0, process.t_max))) - rho) <= SIGMA_TOLERANCE * rho
    return np.clip(np.where(near, whole, times), process.t_zero, process.t_max)


def _continuous(config: Mapping[str, Any]) -> bool:
    """Whether an Euler scheduler is EDM's with data of deviation 1, as Stable Video Diffusion has it."""
    return config.get("timestep_type") == "continuous" and config.get("prediction_type") == "v_prediction"


def _edm(config: Mapping[str, Any], sigmas: np.ndarray) -> Interpretation:
    """EDM's preconditioned networks: c_skip·x + c_out·F at network time (log σ)/4."""
    spec = scheduler_config.read({"_class_name": "EDMEulerScheduler", **_edm_settings(config)})
    low, high = spec.process.t_min, spec.process.t_max
    sigmas = np.where(np.abs(sigmas - high) <= SIGMA_TOLERANCE * high, high, sigmas)
    process = VE(t_min=low, t_max=max(high, float(sigmas[0])))
    data = spec.sigma_data or 1.0
    total = sigmas[:-1] ** 2 + data**2
    sign = 1.0 if spec.prediction == "noise" else -1.0
    weights = data**2 / total, sign * sigmas[:-1] * data / np.sqrt(total)
    return Interpretation(process, sigmas, sigmas[:-1], np.ones(len(sigmas)), weights, weights)


def _edm_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("sigma_min", "sigma_max", "prediction_type")
    return {key: config.get(key) for key in keys} | {"sigma_data": config.get("sigma_data", 1.0)}


def _flow(config: Mapping[str, Any], sigmas: np.ndarray, network_times: np.ndarray) -> Interpretation:
    """Flows: times are σ. With ``invert_sigmas`` σ is counted from the data and the network predicts x_0 − ε."""
    sign = 1.0
    if config.get("invert_sigmas", False):
        sigmas, network_times, sign = 1.0 - sigmas, 1.0 - network_times, -1.0
    network_times = network_times[: len(sigmas) - 1]
    found = _interpretation(Flow(), sigmas, network_times, False, "flow")
    if sign > 0:
        return found
    (p, q), (p_denoiser, q_denoiser) = found.scheduler_weights, found.denoiser_weights
    weights = (p, sign * q), (p_denoiser, sign * q_denoiser)
    return Interpretation(found.process, sigmas, network_times, found.scale, *weights)
