"""Noise process, prediction and time units of a network, from the saved config of its diffusers scheduler.

Only the JSON is read. Which solver a scheduler is, and how it spaces its steps, is read by
`fewstep.diffusers.importer`.

| family | process | time input of the network |
|---|---|---|
| a table of β | `Discrete` | indices of the table |
| flow matching | `Flow` with the scheduler's shift | σ · number of training steps |
| EDM | `VE`, network preconditioned (`fewstep.models.edm`) | log(σ)/4 |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fewstep.checks import number
from fewstep.errors import InvalidModel, UnknownName
from fewstep.models.predictions import DIFFUSERS
from fewstep.processes import VE, Discrete, Flow, Process

__all__ = ["EDM", "FLOW", "TABLE", "NetworkSpec", "alphas_cumprod", "read", "table"]

_SMALL = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
_LATENT = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear"}
_SCALED = _LATENT | {"beta_schedule": "scaled_linear"}
TABLE: dict[str, dict[str, Any]] = {  # defaults of the settings that a saved config leaves out
    "DDIMInverseScheduler": _SMALL,
    "DDIMParallelScheduler": _SMALL,
    "DDIMScheduler": _SMALL,
    "DDPMParallelScheduler": _SMALL,
    "DDPMScheduler": _SMALL,
    "DEISMultistepScheduler": _SMALL,
    "DPMSolverMultistepInverseScheduler": _SMALL,
    "DPMSolverMultistepScheduler": _SMALL,
    "DPMSolverSDEScheduler": _LATENT,
    "DPMSolverSinglestepScheduler": _SMALL,
    "EulerAncestralDiscreteScheduler": _SMALL,
    "EulerDiscreteScheduler": _SMALL,
    "HeunDiscreteScheduler": _LATENT,
    "KDPM2AncestralDiscreteScheduler": _LATENT,
    "KDPM2DiscreteScheduler": _LATENT,
    "LCMScheduler": _SCALED,
    "LMSDiscreteScheduler": _SMALL,
    "PNDMScheduler": _SMALL,
    "SASolverScheduler": _SMALL,
    "TCDScheduler": _SCALED,
    "UniPCMultistepScheduler": _SMALL,
}
FLOW = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler")
EDM = ("EDMDPMSolverMultistepScheduler", "EDMEulerScheduler")
MAX_TABLE = 100_000  # entries of a table
LAST_ALPHA = 2.0**-24  # ᾱ at the end in the place of zero, as in diffusers: the smallest number of half precision


@dataclass(frozen=True)
class NetworkSpec:
    """``process`` and ``prediction`` as `fewstep.models.base.to_data` takes them.

    ``time_scale`` times the process's time (σ, for a flow) is the network's time input; ``sigma_data`` is that of EDM's
    preconditioning, else None.
    """

    process: Process
    prediction: str
    time_scale: float = 1.0
    sigma_data: float | None = None


def read(config: Mapping[str, Any]) -> NetworkSpec:
    """The network facts in a scheduler's config (the JSON of scheduler_config.json).

    Raises `InvalidModel` where a setting is wrong, `UnknownName` for an unknown scheduler class, prediction or table.


    >>> read({"_class_name": "DDPMScheduler"}).process == Discrete.linear_betas()
    True
    >>> read({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0})
    NetworkSpec(process=Flow(shift=3.0, t_min=0.0, t_max=1.0), prediction='flow', time_scale=1000.0, sigma_data=None)
    """
    name = config.get("_class_name")
    if name in EDM or (config.get("timestep_type") == "continuous" and _predicts(config) == "velocity"):
        return _edm(config, 0.5 if name in EDM else 1.0)
    if name in FLOW or config.get("use_flow_sigmas") is True:
        shift = config.get("shift", config.get("flow_shift", 1.0))
        if config.get("use_dynamic_shifting") is True:
            shift = 1.0
        return NetworkSpec(Flow(shift=number("shift", shift, InvalidModel)), "flow", float(_steps(config)))
    if not isinstance(name, str) or name not in TABLE:
        raise UnknownName("scheduler class", str(name)[:80], (*TABLE, *FLOW, *EDM))
    return NetworkSpec(table(name, config), _predicts(config))


def table(name: str, config: Mapping[str, Any]) -> Discrete:
    """The noise process of a scheduler class in `TABLE`, whose defaults fill in for missing settings.

    >>> round(table("LMSDiscreteScheduler", {"beta_end": 0.01}).alphas_cumprod[-1], 6)
    0.006302
    """
    return Discrete(tuple(alphas_cumprod(TABLE[name] | dict(config)).tolist()))


def alphas_cumprod(config: Mapping[str, Any]) -> np.ndarray:
    """The table ᾱ (T,) of a config with ``trained_betas``, or ``beta_schedule``, ``beta_start`` and ``beta_end``.

    With ``rescale_betas_zero_snr`` √ᾱ is stretched to end at zero (Lin et al. 2024, algorithm 1), or close to it: the
    last ᾱ is 2⁻²⁴, or a quarter of the one before. Float64, where diffusers has float32. Raises `InvalidModel` or
    `UnknownName`.

    >>> alphas_cumprod({"beta_schedule": "linear", "beta_start": 0.1, "beta_end": 0.5, "num_train_timesteps": 2})
    array([0.9 , 0.45])
    """
    trained = config.get("trained_betas")
    if trained is not None:
        if not isinstance(trained, list) or not 2 <= len(trained) <= MAX_TABLE:
            raise InvalidModel(f"trained_betas is a list of 2 to {MAX_TABLE} numbers, got {str(trained)[:80]}")
        betas = np.array([number(f"trained_betas[{i}]", beta, InvalidModel) for i, beta in enumerate(trained)])
    else:
        first, last = (number(key, config.get(key), InvalidModel) for key in ("beta_start", "beta_end"))
        kind = config.get("beta_schedule")
        if not isinstance(kind, str) or kind not in BETAS:
            raise UnknownName("beta_schedule", str(kind)[:80], BETAS)
        betas = BETAS[kind](first, last, _steps(config))
    if not np.all((betas > 0) & (betas < 1)):
        raise InvalidModel(f"betas lie between 0 and 1, got {betas.min():g} to {betas.max():g}")
    bars: np.ndarray = np.cumprod(1 - betas)
    if config.get("rescale_betas_zero_snr") is True:
        root = np.sqrt(bars)
        bars = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
        bars[-1] = min(LAST_ALPHA, bars[-2] / 4)
    return bars


def _steps(config: Mapping[str, Any]) -> int:
    steps = config.get("num_train_timesteps", 1000)
    if type(steps) is not int or not 2 <= steps <= MAX_TABLE:
        raise InvalidModel(f"num_train_timesteps is a whole number from 2 to {MAX_TABLE}, got {str(steps)[:40]}")
    return steps


def _linear(first: float, last: float, count: int) -> np.ndarray:
    return np.linspace(first, last, count)


def _scaled_linear(first: float, last: float, count: int) -> np.ndarray:
    if min(first, last) < 0:
        raise InvalidModel(f"betas lie between 0 and 1, got {first:g} and {last:g}")
    betas: np.ndarray = np.linspace(first**0.5, last**0.5, count) ** 2
    return betas


def _cosine(first: float, last: float, count: int) -> np.ndarray:
    """Nichol and Dhariwal 2021, eq. 17; β is cut at 0.999; ``first`` and ``last`` have no effect."""
    bar = np.cos((np.arange(count + 1) / count + 0.008) / 1.008 * np.pi / 2) ** 2
    betas: np.ndarray = np.minimum(1 - bar[1:] / bar[:-1], 0.999)
    return betas


def _sigmoid(first: float, last: float, count: int) -> np.ndarray:
    betas: np.ndarray = first + (last - first) / (1 + np.exp(-np.linspace(-6, 6, count)))
    return betas


BETAS = {"linear": _linear, "scaled_linear": _scaled_linear, "squaredcos_cap_v2": _cosine, "sigmoid": _sigmoid}


def _predicts(config: Mapping[str, Any]) -> str:
    kind = config.get("prediction_type", "epsilon")
    if not isinstance(kind, str) or kind not in DIFFUSERS:
        raise UnknownName("prediction_type", str(kind)[:80], DIFFUSERS)
    return DIFFUSERS[kind]


def _edm(config: Mapping[str, Any], sigma_data: float) -> NetworkSpec:
    low = number("sigma_min or sigma_max", config.get("sigma_min") or 0.002, InvalidModel)
    high = number("sigma_min or sigma_max", config.get("sigma_max") or 80.0, InvalidModel)
    data = number("sigma_data", config.get("sigma_data", sigma_data), InvalidModel)
    if data <= 0:
        raise InvalidModel(f"sigma_data is the standard deviation of the data, above 0, got {data}")
    return NetworkSpec(VE(t_min=low, t_max=high), _predicts(config), sigma_data=data)
