"""The noise process of a pipeline and the reading of its network's output, from the scheduler object it has.

The object says more than its JSON: the table it computed, the preconditioning of its class, and the time shift ``mu``
that the pipeline chose for the size of its images. What is not understood is refused, never read as something near.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from fewstep.errors import InvalidModel
from fewstep.models.base import to_data
from fewstep.models.edm import Edm
from fewstep.models.network import Plain, Reading
from fewstep.models.predictions import DIFFUSERS
from fewstep.models.scheduler_config import FLOW, LAST_ALPHA
from fewstep.processes import VE, Discrete, Flow

__all__ = ["reading_of"]


@dataclass(frozen=True)
class Inverted:
    """A flow whose network is told 1 − σ and predicts x_0 − ε (Mochi); a `fewstep.models.network.Reading`."""

    process: Flow
    time_scale: float

    def inputs(self, x: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``x`` itself, and the time in the network's units."""
        return x, self.time_scale * (1 - self.process.sigma(t))

    def data(self, output: torch.Tensor, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """x + σ·output, shaped as ``x``."""
        return to_data("flow", -output, x, t, self.process)


@dataclass(frozen=True)
class Told:
    """EDM's preconditioning with another time for the network, ``noise(σ)``; a `fewstep.models.network.Reading`."""

    edm: Edm
    noise: Callable[[torch.Tensor], torch.Tensor]

    @property
    def process(self) -> VE:
        """The noise process."""
        return self.edm.process

    def inputs(self, x: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """c_in·x and the network's time, for ``x`` (B, ...) and ``t`` (B,)."""
        return self.edm.inputs(x, t)[0], self.noise(self.process.sigma(t))

    def data(self, output: torch.Tensor, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """c_skip·x + c_out·F, shaped as ``x``."""
        return self.edm.data(output, x, t)


def reading_of(scheduler: Any, mu: float | None = None) -> Reading:
    """The reading of a network that ``scheduler`` steps for; ``mu`` is what the pipeline passes to its set_timesteps.

    Raises `InvalidModel` where the scheduler's process is not one that schedules run on.
    """
    config, name = scheduler.config, type(scheduler).__name__
    if hasattr(scheduler, "precondition_outputs") or config.get("timestep_type") == "continuous":
        return _preconditioned(scheduler)
    if name in FLOW or config.get("use_flow_sigmas"):
        return _flow(scheduler, mu)
    bars = getattr(scheduler, "alphas_cumprod", None)
    if bars is None:
        raise InvalidModel(
            f"{name} has neither a table of alphas_cumprod nor a flow's times: such a process is not known here. Give "
            "the pipeline a scheduler of DDPM, DDIM, DPM, UniPC, Euler or FlowMatch kind that suits its network"
        )
    kind = config.get("prediction_type", "epsilon")
    if kind not in DIFFUSERS:
        raise InvalidModel(f"{name} has prediction_type {kind!r}; known: {', '.join(DIFFUSERS)}")
    values = bars.double().tolist()
    values[-1] = max(values[-1], min(LAST_ALPHA, values[-2] / 4))  # zero terminal SNR
    return Plain(Discrete(tuple(values)), DIFFUSERS[kind])


def _preconditioned(scheduler: Any) -> Reading:
    config = scheduler.config
    process = VE(t_min=float(config.get("sigma_min") or 0.002), t_max=float(config.get("sigma_max") or 80.0))
    sign = -1.0 if config.get("prediction_type") == "v_prediction" else 1.0
    edm = Edm(process, float(config.get("sigma_data") or 1.0), sign)
    noise = getattr(scheduler, "precondition_noise", None)
    return edm if noise is None else Told(edm, noise)


def _flow(scheduler: Any, mu: float | None) -> Reading:
    config = scheduler.config
    if config.get("sigma_max"):  # Cosmos 2: the pipeline makes the noise prediction of EDM's process out of a flow
        return Plain(VE(t_min=float(config.get("sigma_min") or 0.002), t_max=float(config["sigma_max"])), "noise")
    shift = float(config.get("shift") or config.get("flow_shift") or 1.0)
    if config.get("use_dynamic_shifting"):
        if mu is None:
            raise InvalidModel(
                f"{type(scheduler).__name__} shifts its times by the size of the image (use_dynamic_shifting), but the "
                "pipeline says no mu: set a fixed shift"
            )
        shift = float(mu) if config.get("time_shift_type") == "linear" else math.exp(mu)
    process, scale = Flow(shift=shift), float(config.get("num_train_timesteps", 1000))
    return Inverted(process, scale) if config.get("invert_sigmas") else Plain(process, "flow", scale)
