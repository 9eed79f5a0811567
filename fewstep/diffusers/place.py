"""The place of a scheduler in a pipeline: what it replaced, and what the pipeline asks for by itself.

A `fewstep.diffusers.FewstepScheduler` carries the settings of the scheduler that it replaced in its own config, where
`OtherScheduler.from_config(pipe.scheduler.config)` looks for them, and its own values below one private name, which the
classes of diffusers hand on unread.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fewstep.diffusers.circumstances import Circumstances
from fewstep.errors import InvalidInput, UnknownName
from fewstep.models import scheduler_config
from fewstep.models.betas import settings_of
from fewstep.models.predictions import DIFFUSERS
from fewstep.models.scheduler_config import STORED, NetworkSpec
from fewstep.processes import Discrete, Flow, Process
from fewstep.schedule import Schedule

__all__ = [
    "PREDICTION_TYPES",
    "TIMES",
    "Place",
    "Stored",
    "config_entries",
    "law_settings",
    "spec_of",
    "spec_of_config",
    "training_steps_of",
    "values_of_config",
]

LAW = {  # settings that say a noise law: always handed on, even where the replaced class had them as its defaults
    *("beta_start", "beta_end", "beta_schedule", "trained_betas", "rescale_betas_zero_snr", "snr_shift_scale"),
    *("num_train_timesteps", "prediction_type", "sigma_min", "sigma_max", "sigma_data", "timestep_type"),
    *("shift", "flow_shift", "use_flow_sigmas", "use_dynamic_shifting", "base_shift", "max_shift", "invert_sigmas"),
    *("base_image_seq_len", "max_image_seq_len", "time_shift_type", "shift_terminal"),
}
TIMES = ("sigmas", "timesteps")
DEFAULTS = "_use_default_values"  # diffusers' list of settings that other classes fill in with defaults of their own
READ = {  # what pipelines read of any scheduler's config
    "variance_type": "fixed_small",
    "original_inference_steps": 50,
    "stochastic_sampling": False,
    **scheduler_config.SHIFT_LINE,
}
PREDICTION_TYPES = {prediction: name for name, prediction in DIFFUSERS.items()}


@dataclass(frozen=True)
class Place:
    """``replaced`` the class that was there, ``settings`` its config; "" and none where nothing is known of it.

    ``default_steps`` is the number of steps that the pipeline asks for where its user names none; ``chosen`` which of
    "sigmas" and "timesteps" its user may choose: those that no pipeline passes by itself are refused.
    """

    replaced: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    default_steps: int | None = None
    searched: Circumstances | None = None
    chosen: tuple[str, ...] = TIMES


class Stored(dict[str, Any]):
    """A scheduler's own values within a config, which diffusers prints as a whole: in few words."""

    def __repr__(self) -> str:
        return f"<{', '.join(self)}>"

    def __deepcopy__(self, memo: Any) -> "Stored":
        return self  # plain values that nobody changes


def law_settings(spec: NetworkSpec) -> dict[str, Any]:
    """The settings that say a network's law to diffusers' schedulers; those of their defaults are `READ`.

    >>> from fewstep import processes
    >>> law_settings(NetworkSpec(processes.Flow(shift=3.0), "flow", 1000.0))["flow_shift"]
    3.0
    """
    process = spec.process
    settings: dict[str, Any] = {"prediction_type": PREDICTION_TYPES[spec.prediction]}
    if isinstance(process, Discrete):
        return settings | settings_of(np.array(process.alphas_cumprod))
    if isinstance(process, Flow):
        settings |= {"num_train_timesteps": round(spec.time_scale), "shift": process.shift}
        if spec.preconditioning == "inverted":
            return settings | {"invert_sigmas": True}
        return settings | {"flow_shift": process.shift, "use_flow_sigmas": True}
    if process.kind == "ve":
        settings |= {"sigma_min": process.t_min, "sigma_max": process.t_max}
        if spec.sigma_data is not None:
            settings["sigma_data"] = spec.sigma_data
        if spec.preconditioning == "edm" and (spec.prediction, spec.sigma_data) == ("velocity", 1.0):
            settings["timestep_type"] = "continuous"  # how Euler says it (Stable Video Diffusion)
    return settings


def config_entries(schedule: Schedule, spec: NetworkSpec, place: Place, training: int) -> dict[str, Any]:
    """The whole config of a scheduler: others' settings, and its own values under `STORED`."""
    own = Stored(
        schedule=schedule.to_dict(),
        prediction_type=PREDICTION_TYPES[spec.prediction],
        time_scale=spec.time_scale,
        preconditioning=spec.preconditioning,
        sigma_data=spec.sigma_data,
        num_train_timesteps=training,
        replaced=place.replaced,
        kept=bool(place.settings),
        default_steps=place.default_steps,
        chosen=list(place.chosen),
    )
    if place.searched is not None:
        own["searched"] = place.searched.to_dict()
    if place.settings:
        settings = {key: value for key, value in place.settings.items() if not key.startswith("_")}
        defaults = [key for key in place.settings.get(DEFAULTS, ()) if key not in LAW]
    else:
        settings = {**READ, **law_settings(spec), "num_train_timesteps": training}
        defaults = [key for key in READ if key not in law_settings(spec)]
    return {**settings, STORED: own, DEFAULTS: defaults}


def values_of_config(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The arguments of the scheduler that wrote a config, or of the one that another class's config went through.

    None where there was none. In the first format they stood beside the other settings.
    """
    stored = config.get(STORED)
    if stored is None:
        first = ("schedule", "prediction_type", "time_scale", "num_train_timesteps")
        return {key: config[key] for key in first if key in config} if "schedule" in config else None
    if not isinstance(stored, Mapping) or "schedule" not in stored:
        raise InvalidInput(f"{STORED} holds the values of a FewstepScheduler, got {str(stored)[:80]}")
    searched = stored.get("searched")
    settings = {key: value for key, value in config.items() if key == DEFAULTS or not key.startswith("_")}
    replaced = _class_of(config) or stored.get("replaced") or ""
    place = Place(
        replaced,
        settings if replaced or stored.get("kept") else {},
        stored.get("default_steps"),
        None if searched is None else Circumstances(**searched),
        tuple(stored.get("chosen", TIMES)),
    )
    names = ("schedule", "prediction_type", "time_scale", "num_train_timesteps", "preconditioning", "sigma_data")
    return {**{key: stored.get(key) for key in names}, "place": place}


def spec_of(
    process: Process,
    prediction_type: str | None,
    time_scale: float | None,
    preconditioning: str | None,
    sigma_data: float | None,
) -> NetworkSpec:
    """The facts of a network on ``process`` from the arguments of a scheduler; see there.

    Raises `InvalidInput` where networks on that process differ and something was left out, `UnknownName` for an unknown
    prediction type.
    """
    prediction = prediction_type or PREDICTION_TYPES.get(process.default_prediction or "")
    scale = process.default_time_scale if time_scale is None else float(time_scale)
    if process.kind == "ve":
        if preconditioning is None and sigma_data is None:
            raise InvalidInput(
                "networks on ve get their state and time in different ways: pass preconditioning='edm' with "
                "sigma_data, or 'none' where the network takes the state as it is; "
                "fewstep.diffusers.install(pipe, schedule) reads all of it from the pipeline"
            )
        scale = 1.0 if scale is None else scale
    if prediction is None or scale is None:
        raise InvalidInput(
            f"networks on {process.kind} take their time in different units and predict different "
            f"things: pass prediction_type (one of {', '.join(DIFFUSERS)}) and time_scale (such as 1000.0)"
        )
    if prediction not in DIFFUSERS:
        raise UnknownName("prediction_type", prediction, DIFFUSERS)
    return NetworkSpec(process, DIFFUSERS[prediction], scale, sigma_data, preconditioning or "none")


def training_steps_of(spec: NetworkSpec) -> int:
    """The number of training steps that pipelines read from the config, where nobody said it."""
    if isinstance(spec.process, Discrete):
        return len(spec.process.alphas_cumprod)
    return round(spec.time_scale) if spec.process.kind == "flow" else 1000


def spec_of_config(config: Mapping[str, Any]) -> NetworkSpec:
    """The network's facts in the config of any scheduler, even where it does not name its class: raises as `read`."""
    return scheduler_config.read({**config, "_class_name": _class_of(config) or _like(config)})


def _class_of(config: Mapping[str, Any]) -> str:
    name = config.get("_class_name", "")
    return name if isinstance(name, str) and name != scheduler_config.OURS else ""


def _like(config: Mapping[str, Any]) -> str:
    """A class whose config has the same settings."""
    if STORED in config:
        return scheduler_config.OURS
    if "beta_schedule" in config or "trained_betas" in config:
        return "EulerDiscreteScheduler"
    if "shift" in config:
        return "FlowMatchEulerDiscreteScheduler"
    return "EDMEulerScheduler" if "sigma_data" in config else ""
