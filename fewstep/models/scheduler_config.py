"""Noise process, prediction and time units of a network, from its diffusers scheduler: a saved config, or the object.

Which solver a scheduler is, and how it spaces its steps, is read by `fewstep.diffusers.importer`.

| family | process | the network gets | time input of the network | output |
|---|---|---|---|---|
| a table of β | `Discrete` | x | indices of the table | by ``prediction_type`` |
| flow matching | `Flow` with the scheduler's shift | x | σ · number of training steps | ε − x_0 |
| the same, told times without shift (CogView4) | `Flow` | x | t · number of training steps | ε − x_0 |
| the same, ``invert_sigmas`` | `Flow` | x | (1 − σ) · number of training steps | x_0 − ε |
| EDM | `VE` | c_in·x (`fewstep.models.edm`) | log(σ)/4; atan(σ)·2/π (Stable Audio) | F |
| flow matching with ``sigma_max`` | `VE` | its pipeline's business | its pipeline's business | ε, by its pipeline |

Settings that change the law are read, whatever true value switches them on; none is passed over.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fewstep.checks import number
from fewstep.errors import InvalidModel, UnknownName
from fewstep.models.betas import SAME_TABLE, alphas_cumprod, training_steps
from fewstep.models.predictions import DIFFUSERS
from fewstep.processes import VE, Discrete, Flow, Process
from fewstep.processes import from_dict as process_from_dict

__all__ = ["EDM", "FLOW", "PRECONDITIONINGS", "STORED", "TABLE", "NetworkSpec", "dynamic_shift", "of", "read", "table"]

_SMALL = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
_LATENT = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear"}
_SCALED = _LATENT | {"beta_schedule": "scaled_linear"}
_VIDEO = _SCALED | {"snr_shift_scale": 3.0}
_COSINE = _SMALL | {"beta_schedule": "squaredcos_cap_v2"}
TABLE: dict[str, dict[str, Any]] = {  # defaults of the settings that a saved config leaves out
    "CogVideoXDDIMScheduler": _VIDEO,
    "CogVideoXDPMScheduler": _VIDEO,
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
    "UnCLIPScheduler": _COSINE,
    "UniPCMultistepScheduler": _SMALL,
}
SNR_SHIFTED = ("CogVideoXDDIMScheduler", "CogVideoXDPMScheduler")  # the others do not read snr_shift_scale
FLOW = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler")
EDM: dict[str, dict[str, Any]] = {  # defaults, as in TABLE
    "CosineDPMSolverMultistepScheduler": {
        "sigma_min": 0.3,
        "sigma_max": 500.0,
        "sigma_data": 1.0,
        "prediction_type": "v_prediction",
    },
    "EDMDPMSolverMultistepScheduler": {"sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5},
    "EDMEulerScheduler": {"sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5},
}
ARCTAN = "CosineDPMSolverMultistepScheduler"
SHIFT_LINE = {"base_shift": 0.5, "max_shift": 1.15, "base_image_seq_len": 256, "max_image_seq_len": 4096}
OURS = "FewstepScheduler"
STORED = "_fewstep"  # where `fewstep.diffusers.scheduler.FewstepScheduler` keeps its own values in a config
PRECONDITIONINGS = ("none", "edm", "edm-atan", "inverted", "unshifted", "pipeline")


@dataclass(frozen=True)
class NetworkSpec:
    """``process`` and ``prediction`` as `fewstep.models.base.to_data` takes them.

    ``time_scale`` times the process's time (σ, for a flow) is the network's time input; ``sigma_data`` is that of EDM's
    preconditioning, else None. ``preconditioning`` says how the network gets its inputs, a row of the table above:
    "none", "edm", "edm-atan" (Stable Audio), "inverted" (Mochi), "unshifted" (CogView4, which its scheduler does not
    say: `fewstep.diffusers.read_law` knows), or "pipeline" where its pipeline does it (Cosmos 2).
    `fewstep.models.reading` turns it into formulas.
    """

    process: Process
    prediction: str
    time_scale: float = 1.0
    sigma_data: float | None = None
    preconditioning: str = "none"

    def __post_init__(self) -> None:
        if self.preconditioning not in PRECONDITIONINGS:
            raise UnknownName("preconditioning", self.preconditioning, PRECONDITIONINGS)
        if self.sigma_data is not None and self.preconditioning == "none":
            object.__setattr__(self, "preconditioning", "edm")
        if self.preconditioning.startswith("edm"):
            data = number("sigma_data", self.sigma_data, InvalidModel)
            if data <= 0:
                raise InvalidModel(f"sigma_data is the standard deviation of the data, above 0, got {data}")
            object.__setattr__(self, "sigma_data", data)
        for kind, preconditionings in (("ve", ("edm", "edm-atan", "pipeline")), ("flow", ("inverted", "unshifted"))):
            if self.preconditioning in preconditionings and self.process.kind != kind:
                raise InvalidModel(
                    f"the preconditioning {self.preconditioning} belongs to the process {kind}, not {self.process.kind}"
                )


def read(config: Mapping[str, Any], mu: float | None = None, tokens: int | None = None) -> NetworkSpec:
    """The network facts in a scheduler's config (the JSON of scheduler_config.json).

    A flow with dynamic shifting has another shift for each image size: that of ``mu`` where a pipeline was seen to pass
    it, of ``tokens`` (length of the image as a sequence) where it is known, else of the config's largest image
    (``max_image_seq_len``: Flux at 1024 × 1024). A flow's shift names its times; the network's law does not depend on
    it. Raises `InvalidModel` where a setting is wrong, `UnknownName` for an unknown scheduler class, prediction or
    table.

    >>> read({"_class_name": "DDPMScheduler"}).process == Discrete.linear_betas()
    True
    >>> read({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}).process
    Flow(shift=3.0, t_min=0.0, t_max=1.0)
    """
    name = config.get("_class_name")
    if name == OURS:
        return _ours(config)
    if not isinstance(name, str) or name not in (*TABLE, *FLOW, *EDM):
        raise UnknownName("scheduler class", str(name)[:80], (*TABLE, *FLOW, *EDM))
    if name in EDM:
        settings = EDM[name] | {key: value for key, value in config.items() if value is not None}
        kind = "edm-atan" if name == ARCTAN else "edm"
        return NetworkSpec(_ve(settings), _predicts(settings), 1.0, settings["sigma_data"], kind)
    if config.get("timestep_type") == "continuous" and _predicts(config) == "velocity":
        return NetworkSpec(_ve(_range_of(name, config)), "velocity", 1.0, config.get("sigma_data", 1.0), "edm")
    if name in FLOW or config.get("use_flow_sigmas"):
        return _flow(name, config, mu, tokens)
    return NetworkSpec(table(name, config), _predicts(config))


def of(scheduler: Any, mu: float | None = None) -> NetworkSpec:
    """The network facts of a diffusers scheduler object, whose tables may know more than its config.

    ``mu`` as in `read`. A table of ᾱ is the config's where the two agree, else the object's; classes that `read` does
    not know are read by their table of ᾱ, where they have one. Raises as `read`.

    >>> from diffusers import DDIMScheduler
    >>> of(DDIMScheduler()).process == Discrete.linear_betas()
    True
    """
    name = next((each.__name__ for each in type(scheduler).__mro__ if _known(each.__name__)), type(scheduler).__name__)
    config = {**scheduler.config, "_class_name": name}
    bars = getattr(scheduler, "alphas_cumprod", None)
    if not _known(name):
        if bars is None or hasattr(scheduler, "precondition_outputs"):  # whose preconditioning may be any
            raise UnknownName("scheduler class", name, (*TABLE, *FLOW, *EDM))
        return NetworkSpec(_table_of(bars), _predicts(config))
    spec = read(config, mu)
    if isinstance(spec.process, Discrete) and bars is not None and name != OURS:
        given = _table_of(bars)
        if not _agree(given, spec.process):
            return replace(spec, process=given)
    return spec


def table(name: str, config: Mapping[str, Any]) -> Discrete:
    """The noise process of a scheduler class in `TABLE`, whose defaults fill in for missing settings.

    >>> round(table("LMSDiscreteScheduler", {"beta_end": 0.01}).alphas_cumprod[-1], 6)
    0.006302
    """
    settings = TABLE[name] | dict(config)
    if name not in SNR_SHIFTED:
        settings.pop("snr_shift_scale", None)
    return Discrete(tuple(alphas_cumprod(settings).tolist()))


def dynamic_shift(config: Mapping[str, Any], mu: float | None = None, tokens: int | None = None) -> float:
    """The shift of a flow's times under dynamic shifting, for ``mu`` or an image of ``tokens``; see `read`.

    >>> round(dynamic_shift({}), 3), round(dynamic_shift({}, tokens=256), 3), dynamic_shift({}, mu=0.0)
    (3.158, 1.649, 1.0)
    """
    if mu is None:
        line = {
            key: number(key, value if config.get(key) is None else config[key], InvalidModel)
            for key, value in SHIFT_LINE.items()
        }
        short, long = line["base_image_seq_len"], line["max_image_seq_len"]
        if long == short:
            raise InvalidModel(f"base_image_seq_len and max_image_seq_len differ, got {short:g} and {long:g}")
        share = ((long if tokens is None else tokens) - short) / (long - short)
        mu = line["base_shift"] + share * (line["max_shift"] - line["base_shift"])
    if config.get("time_shift_type") == "linear":
        return float(mu)
    if abs(mu) > 6:
        raise InvalidModel(f"mu is the logarithm of a shift, between -6 and 6, got {mu:g}")
    return math.exp(mu)


def _known(name: Any) -> bool:
    return name in TABLE or name in FLOW or name in EDM or name == OURS


def _flow(name: str, config: Mapping[str, Any], mu: float | None, tokens: int | None) -> NetworkSpec:
    steps = float(training_steps(config, least=1))  # ACE-Step tells its network σ itself
    if name in FLOW and config.get("sigma_max"):
        return NetworkSpec(_ve({"sigma_min": 0.002, **_given(config)}), "noise", steps, None, "pipeline")
    prediction = "flow" if name in FLOW or "prediction_type" not in config else _predicts(config)
    shift = config.get("shift" if name in FLOW else "flow_shift", 1.0)
    if config.get("use_dynamic_shifting"):
        shift = dynamic_shift(config, mu, tokens)
    process = Flow(shift=number("shift", shift, InvalidModel))
    return NetworkSpec(process, prediction, steps, None, "inverted" if config.get("invert_sigmas") else "none")


def _ours(config: Mapping[str, Any]) -> NetworkSpec:
    """The facts in the config of a `fewstep.diffusers.FewstepScheduler`: of the scheduler that it replaced, or its own.

    Its first format has no entry `STORED`, and the same entries beside the others.
    """
    stored = config.get(STORED, config)
    if not isinstance(stored, Mapping):
        raise InvalidModel(f"{STORED} holds what a {OURS} knows, got {str(stored)[:80]}")
    if _known(stored.get("replaced")) and stored["replaced"] != OURS:
        return read(
            {key: value for key, value in config.items() if key != STORED} | {"_class_name": stored["replaced"]}
        )
    schedule = stored.get("schedule")
    if not isinstance(schedule, Mapping):
        raise InvalidModel(f"a {OURS} has a schedule, got {str(schedule)[:80]}")
    process = process_from_dict(schedule.get("process"))
    scale = number("time_scale", stored.get("time_scale"), InvalidModel)
    return NetworkSpec(
        process, _predicts(stored), scale, stored.get("sigma_data"), stored.get("preconditioning", "none")
    )


def _table_of(bars: Any) -> Discrete:
    return Discrete(tuple(float(bar) for bar in bars))


def _agree(left: Discrete, right: Discrete) -> bool:
    """Whether two tables are one in float32; the last entry of a zero terminal SNR is a matter of taste."""
    if len(left.alphas_cumprod) != len(right.alphas_cumprod):
        return False
    return bool(np.allclose(left.alphas_cumprod, right.alphas_cumprod, rtol=10 * SAME_TABLE, atol=1e-7))


def _given(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if value is not None}


def _range_of(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Smallest and largest σ of a class in `TABLE` on continuous time: its settings, else those of its table."""
    given = _given(config)
    if {"sigma_min", "sigma_max"} <= set(given):
        return given
    bars = np.array(table(name, config).alphas_cumprod)
    sigmas = np.sqrt((1 - bars) / bars)
    return {"sigma_min": float(sigmas[0]), "sigma_max": float(sigmas[-1]), **given}


def _ve(config: Mapping[str, Any]) -> VE:
    low = number("sigma_min or sigma_max", config.get("sigma_min"), InvalidModel)
    high = number("sigma_min or sigma_max", config.get("sigma_max"), InvalidModel)
    return VE(t_min=low, t_max=high)


def _predicts(config: Mapping[str, Any]) -> str:
    kind = config.get("prediction_type", "epsilon")
    if not isinstance(kind, str) or kind not in DIFFUSERS:
        raise UnknownName("prediction_type", str(kind)[:80], DIFFUSERS)
    return DIFFUSERS[kind]
